/// Numbers as proxies print them.
enum Numbers {
  /// What a missing number is kept as.
  static let missing = Int64.min

  /// What a number is kept as that has more digits than a 64-bit integer holds: the line is understood, the value is not.
  static let overflow = Int64.max

  /// Reads digits at `p` and moves `p` behind them; nil when there are none, `overflow` when no 64-bit integer holds them.
  ///
  /// Eight digits a step: the digits are found by a range check on all bytes of a word, shifted to the word's top and
  /// summed pairwise (the usual SWAR conversion; `tok.c` and simdjson do the same).
  @inline(__always) static func digits(_ p: inout Bytes, to end: Bytes) -> Int64? {
    var x = Scan.load(p) ^ 0x3030_3030_3030_3030
    let nonDigits = ((x &+ 0x7676_7676_7676_7676) | x) & Scan.highs
    var n = nonDigits == 0 ? 8 : nonDigits.trailingZeroBitCount >> 3
    if n > end - p { n = end - p }
    if n == 0 { return nil }
    if n == 8 { return manyDigits(&p, to: end) }
    x <<= UInt64((8 - n) * 8)
    p += n
    return Int64(bitPattern: sum(x))
  }

  /// The number whose digits' values stand in the bytes of a word, the last one at the top; zeros before the first.
  @inline(__always) static func sum(_ digits: UInt64) -> UInt64 {
    var x = digits &* 10 &+ (digits >> 8)
    x =
      ((x & 0x0000_00FF_0000_00FF) &* 0x000F_4240_0000_0064)
      &+ (((x >> 16) & 0x0000_00FF_0000_00FF) &* 0x0000_2710_0000_0001)
    return x >> 32
  }

  @inline(never) private static func manyDigits(_ p: inout Bytes, to end: Bytes) -> Int64? {
    var value: Int64 = 0
    var isTooLarge = false
    while p < end, ASCII.isDigit(p.pointee) {
      let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = tens.addingReportingOverflow(Int64(p.pointee &- ASCII.zero))
      isTooLarge = isTooLarge || overflow || carry
      value = sum
      p += 1
    }
    return isTooLarge ? overflow : value
  }

  /// As `digits`, with a minus sign in front or not (Envoy's `COMMON_DURATION` can be negative).
  @inline(__always) static func signedDigits(_ p: inout Bytes, to end: Bytes) -> Int64? {
    if let value = digits(&p, to: end) { return value }
    guard end - p >= 2, p.pointee == ASCII.minus, ASCII.isDigit(p[1]) else { return nil }
    p += 1
    guard let value = digits(&p, to: end) else { return nil }
    return value == overflow ? overflow : -value
  }

  /// `value / divisor`; what is no number stays what it is.
  @inline(__always) static func scaledDown(_ value: Int64, by divisor: Int64) -> Int64 {
    divisor == 1 || value == overflow || value == missing ? value : value / divisor
  }

  /// A whole slice of digits, with a minus sign or not; nil otherwise.
  static func integer(_ slice: Slice) -> Int64? {
    var p = slice.start
    guard let value = signedDigits(&p, to: slice.end), p == slice.end else { return nil }
    return value
  }

  /// `-`? digits [ `.` digits ], times `scale` (units of the result in one unit of the text), rounded half up.
  ///
  /// Moves `p` behind the number.
  static func decimal(_ p: inout Bytes, to end: Bytes, scale: Int64) -> Int64? {
    var negative = false
    if p < end, p.pointee == ASCII.minus {
      negative = true
      p += 1
    }
    guard let whole = digits(&p, to: end) else { return nil }
    let (product, overflow) = whole.multipliedReportingOverflow(by: scale)
    var value = overflow ? Self.overflow : product
    if p < end, p.pointee == ASCII.dot {
      p += 1
      var remainder: Int64 = 0
      var denominator: Int64 = 1
      var any = false
      while p < end, ASCII.isDigit(p.pointee) {
        any = true
        // Twelve fraction digits are more than any proxy prints; further ones cannot change a rounded millisecond.
        if denominator < 1_000_000_000_000 {
          remainder = remainder &* 10 &+ Int64(p.pointee &- ASCII.zero)
          denominator = denominator &* 10
        }
        p += 1
      }
      guard any else { return nil }
      // No overflow: twelve digits times a scale of at most 1000.
      let fraction = (remainder &* scale &+ denominator / 2) / denominator
      let (sum, carry) = value.addingReportingOverflow(fraction)
      value = carry ? Self.overflow : sum
    }
    return negative && value != Self.overflow ? -value : value
  }
}
