/// Numbers as proxies print them.
enum Numbers {
  /// What a missing number is kept as.
  static let missing = Int64.min

  /// What a number is kept as that has more digits than a 64-bit integer holds: the line is understood, the value is not.
  static let overflow = Int64.max

  /// Reads digits at `p` and moves `p` behind them; nil when there are none, `overflow` when there are more than 18.
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

  @inline(__always) private static func sum(_ digits: UInt64) -> UInt64 {
    var x = digits &* 10 &+ (digits >> 8)
    x =
      ((x & 0x0000_00FF_0000_00FF) &* 0x000F_4240_0000_0064)
      &+ (((x >> 16) & 0x0000_00FF_0000_00FF) &* 0x0000_2710_0000_0001)
    return x >> 32
  }

  @inline(never) private static func manyDigits(_ p: inout Bytes, to end: Bytes) -> Int64? {
    var value: Int64 = 0
    var count = 0
    while p < end, ASCII.isDigit(p.pointee) {
      value = value &* 10 &+ Int64(p.pointee &- ASCII.zero)
      count += 1
      p += 1
    }
    return count > 18 ? overflow : value
  }

  /// A whole slice of digits; nil otherwise.
  static func integer(_ slice: Slice) -> Int64? {
    var p = slice.start
    guard let value = digits(&p, to: slice.end), p == slice.end else { return nil }
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
      var place = scale
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
      place = scale
      let (scaled, tooLarge) = remainder.multipliedReportingOverflow(by: place)
      let fraction =
        tooLarge
        ? Int64((Double(remainder) * Double(place) / Double(denominator)).rounded())
        : (scaled &+ denominator / 2) / denominator
      if value != Self.overflow { value = value &+ fraction }
    }
    return negative && value != Self.overflow ? -value : value
  }
}
