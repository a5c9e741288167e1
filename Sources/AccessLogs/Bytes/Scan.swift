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

  /// First occurrence of either byte (each repeated through a vector) in `[start, end)`, or `end`; sixteen bytes a step.
  ///
  /// Reads up to fifteen bytes past `end` (slack, see `Slice`).
  @inline(__always) static func findEither(
    _ bytes: (SIMD16<UInt8>, SIMD16<UInt8>), from start: Bytes, to end: Bytes
  ) -> Bytes {
    var p = start
    while p < end {
      let vector = UnsafeRawPointer(p).loadUnaligned(as: SIMD16<UInt8>.self)
      // Each lane of the mask is 0xFF or 0, so its first set bit, in words of eight lanes, names the first hit.
      let marks = unsafeBitCast((vector .== bytes.0) .| (vector .== bytes.1), to: SIMD2<UInt64>.self)
      if marks[0] != 0 {
        let found = p + (marks[0].trailingZeroBitCount >> 3)
        return found < end ? found : end
      }
      if marks[1] != 0 {
        let found = p + 8 + (marks[1].trailingZeroBitCount >> 3)
        return found < end ? found : end
      }
      p += 16
    }
    return end
  }

  /// The bytes at `a` and `b` are equal. Reads up to seven bytes past both.
  @inline(__always) static func isEqual(_ a: Bytes, _ b: Bytes, _ count: Int) -> Bool {
    var i = 0
    while i &+ 8 <= count {
      if load(a + i) != load(b + i) { return false }
      i &+= 8
    }
    return i == count || (load(a + i) ^ load(b + i)) << UInt64((8 &- (count &- i)) &* 8) == 0
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
