internal import CLanes

/// The stretches of a line that make up a key, as first and last slot of each.
typealias KeyRuns = UnsafeBufferPointer<lanes_run>

/// The bytes of a dictionary key under construction: a tag, then slices of the line, each behind its length.
///
/// Only keys that are new are put together: those of known ones are hashed and compared where they stand. Lives in scratch memory of the row builder, which has room for the
/// longest line and `slack` more.
struct KeyWriter {
  private let start: UnsafeMutablePointer<UInt8>
  private(set) var end: UnsafeMutablePointer<UInt8>
  private let limit: UnsafeMutablePointer<UInt8>

  /// Copying takes 32 bytes a step, and comparing reads 16 bytes more.
  static let slack = 64

  /// - Parameters:
  ///   - start: where the key begins.
  ///   - limit: where it has to end at the latest; `slack` more bytes may be written.
  @inline(__always)
  init(at start: UnsafeMutablePointer<UInt8>, limit: UnsafeMutablePointer<UInt8>, tag: UInt64) {
    self.start = start
    self.limit = limit
    UnsafeMutableRawPointer(start).storeBytes(of: tag, as: UInt64.self)
    end = start + 8
  }

  mutating func add(_ slice: Slice) {
    let count = slice.count
    precondition(limit - end > count + 4, "a key longer than its line")
    UnsafeMutableRawPointer(end).storeBytes(of: UInt32(truncatingIfNeeded: count), as: UInt32.self)
    end += 4
    // In bounds: at most 31 bytes more than `count` are read (slack, see `Slice`) and written.
    let (from, to) = (UnsafeRawPointer(slice.start), UnsafeMutableRawPointer(end))
    var i = 0
    repeat {
      to.storeBytes(of: from.loadUnaligned(fromByteOffset: i, as: SIMD32<UInt8>.self), toByteOffset: i, as: SIMD32.self)
      i &+= 32
    } while i < count
    end += count
  }

  /// Adds stretches of neighbouring columns.
  mutating func add(_ runs: KeyRuns, _ fields: borrowing Fields) {
    for run in runs { add(Slice(fields.slice(Int(run.first)).start, fields.slice(Int(run.last)).end)) }
  }

  @inline(__always) var slice: Slice { Slice(UnsafePointer(start), UnsafePointer(end)) }
}
