internal import Flows

/// Dates, times and lengths of time as a policy file writes them.
enum PolicyTime {
  static let dayMs: Int64 = 86_400_000

  /// `2027-01-31`, `2027-01-31T12:00`, `2027-01-31 12:00:00.5Z`, `2027-01-31T12:00:00+02:00`; UTC where no offset is given.
  /// A date alone is its start, or with `endOfDay` the start of the next day.
  static func milliseconds(_ text: String, endOfDay: Bool) -> Int64? {
    var cursor = TimeCursor(text)
    guard let year = cursor.number(digits: 4), cursor.skip("-"), let month = cursor.number(digits: 2),
      cursor.skip("-"), let day = cursor.number(digits: 2),
      (1...12).contains(month),
      (1...CivilCalendar.daysInMonth(year: Int64(year), month: Int64(month))).contains(Int64(day))
    else { return nil }
    let midnight = CivilCalendar.days(year: Int64(year), month: Int64(month), day: Int64(day)) * dayMs
    if cursor.isAtEnd { return endOfDay ? midnight + dayMs : midnight }
    guard cursor.skip("T") || cursor.skip("t") || cursor.skip(" "),
      let hour = cursor.number(digits: 2), cursor.skip(":"), let minute = cursor.number(digits: 2),
      hour < 24, minute < 60
    else { return nil }
    var ms = midnight + Int64(hour * 3600 + minute * 60) * 1000
    if cursor.skip(":") {
      guard let second = cursor.number(digits: 2), second < 60 else { return nil }
      ms += Int64(second) * 1000
      if cursor.skip(".") {
        guard let fraction = cursor.fractionMs() else { return nil }
        ms += fraction
      }
    }
    if cursor.isAtEnd || cursor.skip("Z") || cursor.skip("z") { return cursor.isAtEnd ? ms : nil }
    let sign: Int64
    if cursor.skip("+") { sign = -1 } else if cursor.skip("-") { sign = 1 } else { return nil }
    guard let hours = cursor.number(digits: 2), hours < 24 else { return nil }
    _ = cursor.skip(":")
    guard let minutes = cursor.number(digits: 2), minutes < 60, cursor.isAtEnd else { return nil }
    return ms + sign * Int64(hours * 3600 + minutes * 60) * 1000
  }

  /// `15m`, `1h30m`, `90s`, `2d`; nil for anything else and for nothing at all.
  static func durationMs(_ text: String) -> Int64? {
    var total: Int64 = 0
    var number: Int64?
    for byte in text.utf8 {
      if (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) {
        let (scaled, overflow) = (number ?? 0).multipliedReportingOverflow(by: 10)
        guard !overflow, scaled < 1_000_000_000_000 else { return nil }
        number = scaled + Int64(byte - UInt8(ascii: "0"))
        continue
      }
      let unit: Int64
      switch byte {
      case UInt8(ascii: "s"): unit = 1000
      case UInt8(ascii: "m"): unit = 60_000
      case UInt8(ascii: "h"): unit = 3_600_000
      case UInt8(ascii: "d"): unit = dayMs
      default: return nil
      }
      guard let count = number else { return nil }
      let (part, overflow) = count.multipliedReportingOverflow(by: unit)
      let (sum, tooMuch) = total.addingReportingOverflow(part)
      guard !overflow, !tooMuch else { return nil }
      total = sum
      number = nil
    }
    return number == nil && total > 0 ? total : nil
  }
}

private struct TimeCursor {
  private let bytes: [UInt8]
  private var position = 0

  init(_ text: String) { bytes = Array(text.utf8) }

  var isAtEnd: Bool { position == bytes.count }

  /// Exactly so many digits.
  mutating func number(digits: Int) -> Int? {
    guard position + digits <= bytes.count else { return nil }
    var value = 0
    for byte in bytes[position..<position + digits] {
      guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
      value = value * 10 + Int(byte - UInt8(ascii: "0"))
    }
    position += digits
    return value
  }

  mutating func skip(_ character: Unicode.Scalar) -> Bool {
    guard position < bytes.count, bytes[position] == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  /// One to nine digits of a fraction of a second, as milliseconds.
  mutating func fractionMs() -> Int64? {
    var value: Int64 = 0
    var digits = 0
    while digits < 9, let digit = number(digits: 1) {
      if digits < 3 { value = value * 10 + Int64(digit) }
      digits += 1
    }
    guard digits > 0 else { return nil }
    for _ in digits..<max(3, digits) { value *= 10 }
    return value
  }
}
