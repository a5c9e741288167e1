/// Numbers and times as people read them.
public enum Quantities {
  /// `2026-11-01T10:00:00.123Z`; any Unix millisecond, also before 1970 and absurd ones.
  public static func iso(_ milliseconds: Int64, showsMilliseconds: Bool = true) -> String {
    let (seconds, millis) = floored(milliseconds, by: 1000)
    let (days, second) = floored(seconds, by: 86_400)
    let date = civil(fromDays: days)
    let time = "\(padded(second / 3600, 2)):\(padded(second / 60 % 60, 2)):\(padded(second % 60, 2))"
    return "\(padded(date.year, 4))-\(padded(Int64(date.month), 2))-\(padded(Int64(date.day), 2))T\(time)"
      + (showsMilliseconds ? ".\(padded(millis, 3))Z" : "Z")
  }

  /// `2026-11-01 10:00:00`, for tables whose heading names the zone.
  static func short(_ milliseconds: Int64) -> String {
    String(iso(milliseconds, showsMilliseconds: false).dropLast()).replacing("T", with: " ")
  }

  /// Bytes with three digits or more: `512 B`, `1.50 KiB`, `12.3 GiB`.
  public static func bytes(_ count: Int64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
    var amount = Double(count.magnitude)
    var unit = 0
    while amount >= 1024, unit < units.count - 1 {
      amount /= 1024
      unit += 1
    }
    let sign = count < 0 ? "-" : ""
    guard unit > 0 else { return "\(sign)\(count.magnitude) B" }
    return sign + fixed(amount, digits: amount < 10 ? 2 : amount < 100 ? 1 : 0) + " " + units[unit]
  }

  /// `1,234,567`.
  public static func grouped(_ number: Int64) -> String {
    let digits = Array(String(number.magnitude))
    var text = ""
    for (index, digit) in digits.enumerated() {
      if index > 0, (digits.count - index) % 3 == 0 { text.append(",") }
      text.append(digit)
    }
    return (number < 0 ? "-" : "") + text
  }

  /// Milliseconds as `12 ms`, `1.25 s`, `3 m 05 s`, `2 h 10 m`, `3 d 4 h`.
  public static func duration(_ milliseconds: Double) -> String {
    guard milliseconds.isFinite, abs(milliseconds) < 9e15 else { return "\(milliseconds) ms" }
    if milliseconds < 10 {
      let text = fixed(milliseconds, digits: 1)
      return (text.hasSuffix(".0") ? String(text.dropLast(2)) : text) + " ms"
    }
    if milliseconds < 1000 { return "\(Int64(milliseconds.rounded())) ms" }
    if milliseconds < 60_000 { return fixed(milliseconds / 1000, digits: 2) + " s" }
    let seconds = Int64(milliseconds / 1000)
    if seconds < 3600 { return "\(seconds / 60) m \(padded(seconds % 60, 2)) s" }
    if seconds < 86_400 { return "\(seconds / 3600) h \(padded(seconds / 60 % 60, 2)) m" }
    return "\(seconds / 86_400) d \(seconds / 3600 % 24) h"
  }

  static func fixed(_ number: Double, digits: Int) -> String {
    guard number.isFinite, abs(number) < 9e15 else { return "\(number)" }
    var scale: Int64 = 1
    for _ in 0..<digits { scale *= 10 }
    let scaled = Int64((abs(number) * Double(scale)).rounded())
    let whole = "\(scaled / scale)"
    let sign = number < 0 && scaled != 0 ? "-" : ""
    return digits == 0 ? sign + whole : "\(sign)\(whole).\(padded(scaled % scale, digits))"
  }

  private static func padded(_ number: Int64, _ digits: Int) -> String {
    let text = String(number.magnitude)
    return (number < 0 ? "-" : "") + String(repeating: "0", count: max(0, digits - text.count)) + text
  }

  private static func floored(_ number: Int64, by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
    let (quotient, remainder) = number.quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
  }

  /// Days since 1970-01-01 to a date of the Gregorian calendar (Howard Hinnant, "chrono-Compatible Low-Level Date
  /// Algorithms": years begin in March, eras have 400 years).
  static func civil(fromDays days: Int64) -> (year: Int64, month: Int, day: Int) {
    let shifted = days + 719_468
    let (era, dayOfEra) = floored(shifted, by: 146_097)
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let month = (5 * dayOfYear + 2) / 153
    let day = Int(dayOfYear - (153 * month + 2) / 5 + 1)
    let civilMonth = Int(month < 10 ? month + 3 : month - 9)
    return (yearOfEra + era * 400 + (civilMonth <= 2 ? 1 : 0), civilMonth, day)
  }

  /// The inverse of `civil(fromDays:)`.
  static func days(year: Int64, month: Int, day: Int) -> Int64 {
    let year = month <= 2 ? year - 1 : year
    let (era, yearOfEra) = floored(year, by: 400)
    let dayOfYear = (153 * Int64(month > 2 ? month - 3 : month + 9) + 2) / 5 + Int64(day) - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }
}
