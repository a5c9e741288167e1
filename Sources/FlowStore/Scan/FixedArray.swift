/// Numbers that many threads look up and none changes: an array without the counting of references that goes with each look at
/// one that a class holds, which costs more than the look-up.
///
/// `@unchecked Sendable`: nothing changes after it is made.
struct FixedArray<Element: BitwiseCopyable>: @unchecked Sendable {
  private let owner: OwnedMemory<Element>
  private let base: UnsafeMutablePointer<Element>
  let count: Int

  init(_ elements: [Element]) {
    let copy = UnsafeMutableBufferPointer<Element>.allocate(capacity: max(elements.count, 1))
    _ = copy.initialize(from: elements)
    owner = OwnedMemory(copy)
    base = copy.baseAddress!
    count = elements.count
  }

  /// The elements, as long as this or a copy of it is there.
  var start: UnsafePointer<Element> { UnsafePointer(base) }

  @inline(__always)
  subscript(index: Int) -> Element {
    precondition(index >= 0 && index < count)
    return base[index]
  }

  @inline(__always)
  func has(_ id: Int64) -> Bool { UInt64(bitPattern: id) < UInt64(bitPattern: Int64(count)) }

  /// For an id that it has.
  @inline(__always)
  subscript(id id: Int64) -> Element {
    assert(has(id))
    return base[Int(truncatingIfNeeded: id)]
  }

  /// The element of a row id; nil beyond the ends.
  @inline(__always)
  func element(at id: Int64) -> Element? { id >= 0 && id < count ? base[Int(id)] : nil }
}

/// Frees memory with the last copy of what it belongs to.
final class OwnedMemory<Element: BitwiseCopyable> {
  let elements: UnsafeMutableBufferPointer<Element>
  init(_ elements: UnsafeMutableBufferPointer<Element>) { self.elements = elements }
  deinit { elements.deallocate() }
}
