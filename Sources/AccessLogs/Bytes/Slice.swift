internal import CLanes
internal import Glibc

typealias Bytes = UnsafePointer<UInt8>

/// A stretch of a line: pointers into the chunk (or into a scratch buffer of the parser), valid while the line is parsed.
///
/// Loads of eight bytes at once read up to seven bytes past the end; every buffer the parser is given, and every scratch
/// buffer of its own, has `LineParser.slack` readable bytes behind its data.
struct Slice {
  var start: Bytes
  var end: Bytes

  @inline(__always) init(_ start: Bytes, _ end: Bytes) {
    self.start = start
    self.end = end
  }

  /// What an absent column holds: an empty slice of static memory.
  @inline(__always) static var absent: Slice { Slice(lanes_nothing(), lanes_nothing()) }
  /// What JSON's `null` is: as empty, but its key stands in the line.
  @inline(__always) static var null: Slice { Slice(lanes_nothing() + 8, lanes_nothing() + 8) }

  /// Its column, or its key, does not stand in the line.
  @inline(__always) var isAbsent: Bool { start == lanes_nothing() }

  @inline(__always) var count: Int { end - start }
  @inline(__always) var isEmpty: Bool { start == end }
  /// Empty, or the `-` that all three proxies print for a value they do not have.
  @inline(__always) var isMissing: Bool { start == end || (end - start == 1 && start[0] == ASCII.minus) }

  @inline(__always) subscript(index: Int) -> UInt8 { start[index] }

  @inline(__always) func equals(_ other: Slice) -> Bool {
    count == other.count && Scan.isEqual(start, other.start, count)
  }

  func equals(_ text: StaticString) -> Bool {
    count == text.utf8CodeUnitCount && memcmp(start, text.utf8Start, count) == 0
  }

  func hasPrefix(_ text: StaticString) -> Bool {
    count >= text.utf8CodeUnitCount && memcmp(start, text.utf8Start, text.utf8CodeUnitCount) == 0
  }

  func hasSuffix(_ text: StaticString) -> Bool {
    let length = text.utf8CodeUnitCount
    return count >= length && memcmp(end - length, text.utf8Start, length) == 0
  }

  /// Offset of the first occurrence of `byte`, or nil.
  func firstIndex(of byte: UInt8) -> Int? {
    let found = Scan.find(byte, from: start, to: end)
    return found == end ? nil : found - start
  }

  func lastIndex(of byte: UInt8) -> Int? {
    var p = end
    while p > start {
      p -= 1
      if p.pointee == byte { return p - start }
    }
    return nil
  }

  func firstRange(of text: StaticString) -> Range<Int>? {
    let length = text.utf8CodeUnitCount
    guard let found = Scan.find(UnsafeBufferPointer(start: text.utf8Start, count: length), from: start, to: end) else {
      return nil
    }
    let offset = found - start
    return offset..<(offset + length)
  }

  @inline(__always) func dropFirst(_ n: Int) -> Slice { Slice(start + n, end) }
  @inline(__always) func prefix(_ n: Int) -> Slice { Slice(start, start + n) }
  @inline(__always) func sub(_ range: Range<Int>) -> Slice { Slice(start + range.lowerBound, start + range.upperBound) }

  func trimmingSpaces() -> Slice {
    var s = start
    var e = end
    while s < e, s.pointee == ASCII.space || s.pointee == ASCII.tab { s += 1 }
    while e > s, e[-1] == ASCII.space || e[-1] == ASCII.tab { e -= 1 }
    return Slice(s, e)
  }

  var bytes: [UInt8] { Array(UnsafeBufferPointer(start: start, count: count)) }

  /// The text; invalid UTF-8 becomes U+FFFD. Only for dictionary entries, never per line.
  var string: String { String(decoding: UnsafeBufferPointer(start: start, count: count), as: UTF8.self) }

  /// nil when missing.
  var stringIfPresent: String? { isMissing ? nil : string }
}
