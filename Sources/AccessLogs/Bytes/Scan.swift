internal import CLanes
internal import Glibc

/// Searches that look at eight bytes a step.
///
/// A word XOR the repeated byte has a zero byte where the byte occurs; `(w - 0x01..) & ~w & 0x80..` marks zero bytes, and
/// its lowest mark is exact (Hacker's Delight 6-1). Columns are short (median about ten bytes), so one or two steps do.
enum Scan {
  static let ones: UInt64 = 0x0101_0101_0101_0101
  static let highs: UInt64 = 0x8080_8080_8080_8080

  @inline(__always) static func load(_ p: Bytes) -> UInt64 {
    UnsafeRawPointer(p).loadUnaligned(as: UInt64.self)
  }

  /// First occurrence of `byte` in `[p, end)`, or `end`. Reads up to seven bytes past `end` (slack, see `Slice`).
  @inline(__always) static func find(_ byte: UInt8, from start: Bytes, to end: Bytes) -> Bytes {
    let pattern = UInt64(byte) &* ones
    var p = start
    while p < end {
      let word = load(p) ^ pattern
      let marks = (word &- ones) & ~word & highs
      if marks != 0 {
        let found = p + (marks.trailingZeroBitCount >> 3)
        return found < end ? found : end
      }
      p += 8
    }
    return end
  }

  /// First occurrence of either byte (each repeated through a vector) in `[start, end)`, or `end`; 32 bytes a step, so
  /// that most columns take one.
  ///
  /// Reads up to 31 bytes past `end` (slack, see `Slice`).
  @inline(__always) static func findEither(
    _ bytes: (SIMD16<UInt8>, SIMD16<UInt8>), from start: Bytes, to end: Bytes
  ) -> Bytes {
    var p = start
    while p < end {
      let offset = Int(lanes_first_of_either(p, bytes.0, bytes.1))
      p += offset
      if offset < 32 { break }
    }
    return p < end ? p : end
  }

  /// What `isEqual` may read past the bytes that it compares.
  static let slack = 32

  /// The bytes at `a` and `b` are equal. Reads up to 32 bytes past both.
  @inline(__always) static func isEqual(_ a: Bytes, _ b: Bytes, _ count: Int) -> Bool {
    var i = 0
    while i &+ 32 < count {
      if lanes_equal(a + i, b + i) != .max { return false }
      i &+= 32
    }
    // 0...32 bytes are left.
    let wanted = UInt32(truncatingIfNeeded: 1 &<< UInt64(truncatingIfNeeded: count &- i) &- 1)
    return lanes_equal(a + i, b + i) & wanted == wanted
  }

  /// Masks for the first `count` (0...16) of sixteen bytes in two words.
  @inline(__always) static func tail(_ count: Int) -> (UInt64, UInt64) {
    let bits = UInt64(truncatingIfNeeded: count) &* 8
    return (
      count >= 8 ? .max : 1 &<< bits &- 1,
      count >= 16 ? .max : count <= 8 ? 0 : 1 &<< (bits &- 64) &- 1
    )
  }

  /// First occurrence of `needle` in `[start, end)`, or nil; an empty needle is found at once.
  static func find(_ needle: UnsafeBufferPointer<UInt8>, from start: Bytes, to end: Bytes) -> Bytes? {
    guard let first = needle.first else { return start }
    var p = start
    while end - p >= needle.count {
      p = find(first, from: p, to: end)
      guard end - p >= needle.count else { return nil }
      if memcmp(p, needle.baseAddress!, needle.count) == 0 { return p }
      p += 1
    }
    return nil
  }
}
