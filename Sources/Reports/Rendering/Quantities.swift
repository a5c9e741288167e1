internal import Flows

/// Numbers and times as people read them.
public enum Quantities {
  /// `2026-11-01T10:00:00.123Z`; any Unix millisecond, also before 1970 and absurd ones.
  public static func iso(_ milliseconds: Int64, showsMilliseconds: Bool = true) -> String {
    var text = OutputText()
    text.append(iso: milliseconds, showsMilliseconds: showsMilliseconds)
    return text.string
  }

  /// Bytes with three digits or more: `512 B`, `1.50 KiB`, `12.3 GiB`.
  public static func bytes(_ count: Int64) -> String {
    var text = OutputText()
    text.append(bytes: count)
    return text.string
  }

  /// `1,234,567`.
  public static func grouped(_ number: Int64) -> String {
    var text = OutputText()
    text.append(grouped: number)
    return text.string
  }

  /// Milliseconds as `12 ms`, `1.25 s`, `3 m 05 s`, `2 h 10 m`, `3 d 4 h`.
  public static func duration(_ milliseconds: Double) -> String {
    var text = OutputText()
    text.append(duration: milliseconds)
    return text.string
  }

  fileprivate static func floored(_ number: Int64, by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
    let (quotient, remainder) = number.quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
  }
}

/// The same, where they are written.
extension OutputText {
  mutating func append(iso milliseconds: Int64, showsMilliseconds: Bool = true) {
    let millis = append(date: milliseconds, then: UInt8(ascii: "T"))
    if showsMilliseconds {
      append(UInt8(ascii: "."))
      append(padded: millis, width: 3)
    }
    append(UInt8(ascii: "Z"))
  }

  /// `2026-11-01 10:00:00`, for tables whose heading names the zone.
  mutating func append(short milliseconds: Int64) { append(date: milliseconds, then: UInt8(ascii: " ")) }

  /// - Parameter separator: between day and time of day.
  /// - Returns: the milliseconds of the second.
  @discardableResult
  private mutating func append(date milliseconds: Int64, then separator: UInt8) -> Int64 {
    let (seconds, millis) = Quantities.floored(milliseconds, by: 1000)
    let (days, second) = Quantities.floored(seconds, by: 86_400)
    let date = CivilCalendar.date(fromDays: days)
    append(padded: date.year, width: 4)
    append(UInt8(ascii: "-"))
    append(padded: date.month, width: 2)
    append(UInt8(ascii: "-"))
    append(padded: date.day, width: 2)
    append(separator)
    append(padded: second / 3600, width: 2)
    append(UInt8(ascii: ":"))
    append(padded: second / 60 % 60, width: 2)
    append(UInt8(ascii: ":"))
    append(padded: second % 60, width: 2)
    return millis
  }

  mutating func append(bytes count: Int64) {
    var amount = Double(count.magnitude)
    var unit = 0
    while amount >= 1024, unit < OutputText.units.count - 1 {
      amount /= 1024
      unit += 1
    }
    if count < 0 { append(UInt8(ascii: "-")) }
    if unit == 0 {
      append(digitsOf: count.magnitude)
    } else {
      append(fixed: amount, digits: amount < 10 ? 2 : amount < 100 ? 1 : 0)
    }
    append(UInt8(ascii: " "))
    append(OutputText.units[unit])
  }

  private static let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]

  mutating func append(grouped number: Int64) {
    if number < 0 { append(UInt8(ascii: "-")) }
    // The highest group stands without zeros in front.
    var (rest, scale) = (number.magnitude, UInt64(1))
    while rest / scale >= 1000 { scale *= 1000 }
    append(digitsOf: rest / scale)
    while scale > 1 {
      rest %= scale
      scale /= 1000
      append(UInt8(ascii: ","))
      append(digitsOf: rest / scale, width: 3)
    }
  }

  mutating func append(duration milliseconds: Double) {
    guard milliseconds.isFinite, abs(milliseconds) < 9e15 else { return append("\(milliseconds) ms") }
    if milliseconds < 10 {
      let tenths = (abs(milliseconds) * 10).rounded()
      append(fixed: milliseconds, digits: tenths.truncatingRemainder(dividingBy: 10) == 0 ? 0 : 1)
      append(" ms")
    } else if milliseconds < 1000 {
      append(Int64(milliseconds.rounded()))
      append(" ms")
    } else if milliseconds < 60_000 {
      append(fixed: milliseconds / 1000, digits: 2)
      append(" s")
    } else {
      append(seconds: Int64(milliseconds / 1000))
    }
  }

  private mutating func append(seconds: Int64) {
    if seconds < 3600 {
      append(seconds / 60)
      append(" m ")
      append(padded: seconds % 60, width: 2)
      append(" s")
    } else if seconds < 86_400 {
      append(seconds / 3600)
      append(" h ")
      append(padded: seconds / 60 % 60, width: 2)
      append(" m")
    } else {
      append(seconds / 86_400)
      append(" d ")
      append(seconds / 3600 % 24)
      append(" h")
    }
  }

  mutating func append(fixed number: Double, digits: Int) {
    var scale: Int64 = 1
    for _ in 0..<digits { scale *= 10 }
    guard number.isFinite, abs(number) * Double(scale) < 9e18 else { return append("\(number)") }
    let scaled = Int64((abs(number) * Double(scale)).rounded())
    if number < 0, scaled != 0 { append(UInt8(ascii: "-")) }
    append(scaled / scale)
    guard digits > 0 else { return }
    append(UInt8(ascii: "."))
    append(padded: scaled % scale, width: digits)
  }

  /// Whole numbers without `.0`, so that a percentile of 12 ms reads 12.
  mutating func append(plain number: Double) {
    guard number.isFinite, number == number.rounded(), abs(number) < 1e15 else { return append("\(number)") }
    append(Int64(number))
  }
}
