internal import Flows

/// A point in time as typed: `1h` (ago), `yesterday`, `2026-11-01`, `2026-11-01T10:00:00Z`, `@1700000000`. The zone is UTC
/// unless the text names another.
public enum TimeExpression {
  public enum Bound: Sendable {
    case since
    /// A day named as the end is part of the range.
    case until
  }

  private static let dayMs: Int64 = 86_400_000
  private static let units: [(letter: Character, ms: Int64)] = [
    ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", dayMs), ("w", 7 * dayMs),
  ]

  /// Unix milliseconds; the end of a range is exclusive.
  public static func parse(_ text: String, as bound: Bound, now: Int64) throws(ReportError) -> Int64 {
    let midnight = now - positiveRemainder(now, dayMs)
    let wholeDay = bound == .until ? dayMs : 0
    switch text {
    case "now": return now
    case "today": return midnight + wholeDay
    case "yesterday": return midnight - dayMs + wholeDay
    default: break
    }
    if let ago = relative(text) { return now - ago }
    if text.hasPrefix("@"), let seconds = Int64(text.dropFirst()), seconds.magnitude < 1 << 40 { return seconds * 1000 }
    if let day = date(text) { return day + wholeDay }
    if let moment = moment(text) { return moment }
    throw ReportError(
      "\"\(TerminalText.safe(text))\" is not a time",
      help:
        "write 90s, 30m, 1h, 2d or 1w (ago), yesterday, 2026-11-01, or 2026-11-01T10:00:00Z (UTC where no zone is named)"
    )
  }

  /// `90s`, `1h30m`.
  private static func relative(_ text: String) -> Int64? {
    var rest = text[...]
    var sum: Int64 = 0
    while !rest.isEmpty {
      let digits = rest.prefix { $0.isASCII && $0.isNumber }
      rest = rest.dropFirst(digits.count)
      guard let amount = Int64(digits), amount < 1_000_000, let letter = rest.popFirst(),
        let unit = units.first(where: { $0.letter == letter })
      else { return nil }
      sum += amount * unit.ms
      guard sum < 1 << 60 else { return nil }
    }
    return text.isEmpty ? nil : sum
  }

  /// `2026-11-01` at its first millisecond.
  private static func date(_ text: some StringProtocol) -> Int64? {
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 3, parts[0].count == 4, parts[1].count == 2, parts[2].count == 2,
      let year = number(parts[0]), let month = number(parts[1]), let day = number(parts[2]), year > 0,
      (1...12).contains(month), day > 0,
      day <= CivilCalendar.daysInMonth(year: Int64(year), month: Int64(month))
    else { return nil }
    return CivilCalendar.days(year: Int64(year), month: Int64(month), day: Int64(day)) * dayMs
  }

  /// `2026-11-01T10:00`, with seconds, fraction and zone where given; a space may stand for the `T`.
  private static func moment(_ text: String) -> Int64? {
    guard text.count > 11, text.dropFirst(10).first == "T" || text.dropFirst(10).first == " ",
      let day = date(text.prefix(10))
    else { return nil }
    var clock = text.dropFirst(11)
    var offset: Int64 = 0
    if clock.hasSuffix("Z") {
      clock.removeLast()
    } else if let sign = clock.lastIndex(where: { $0 == "+" || $0 == "-" }) {
      let zone = clock[clock.index(after: sign)...].filter { $0 != ":" }
      guard zone.count == 4, let hours = number(zone.prefix(2)), let minutes = number(zone.suffix(2)), minutes < 60,
        hours < 24
      else { return nil }
      offset = Int64(hours * 60 + minutes) * 60_000 * (clock[sign] == "-" ? -1 : 1)
      clock = clock[..<sign]
    }
    let parts = clock.split(separator: ":", omittingEmptySubsequences: false)
    guard (2...3).contains(parts.count), let hour = number(parts[0]), hour < 24, let minute = number(parts[1]),
      minute < 60
    else { return nil }
    var ms: Int64 = 0
    if parts.count == 3 {
      let seconds = parts[2].split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
      guard seconds[0].count == 2, let whole = number(seconds[0]), whole < 61 else { return nil }
      ms = Int64(whole) * 1000
      if seconds.count == 2 {
        guard let fraction = number(seconds[1].prefix(3)), seconds[1].allSatisfy({ $0.isASCII && $0.isNumber }) else {
          return nil
        }
        ms += Int64(fraction) * [100, 10, 1][min(seconds[1].count, 3) - 1]
      }
    }
    return day + Int64(hour) * 3_600_000 + Int64(minute) * 60_000 + ms - offset
  }

  /// Digits only: no sign, no space.
  private static func number(_ text: some StringProtocol) -> Int? {
    guard !text.isEmpty, text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else { return nil }
    return Int(text)
  }

  private static func positiveRemainder(_ number: Int64, _ divisor: Int64) -> Int64 {
    let remainder = number % divisor
    return remainder < 0 ? remainder + divisor : remainder
  }
}
