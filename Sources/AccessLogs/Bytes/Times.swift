internal import CLanes
internal import Flows
internal import Glibc

/// Reads times of one format, remembering the last minute so that a line costs a few digit checks.
struct TimeReader {
  private let format: TimeFormat
  private let isISO8601Milliseconds: Bool
  private let hasFraction: Bool
  /// The sixteen bytes of the last date, hour and minute, and what they are in Unix milliseconds (ISO form only); at first those
  /// of "1970-01-01T00:00".
  private var lastMinute: (UInt64, UInt64) = (0x2D31_302D_3037_3931, 0x3030_3A30_3054_3130)
  private var lastMinuteMs: Int64 = 0
  /// The last whole value (formats without a fraction repeat for a second at a time).
  private var lastText: [UInt8] = []
  private var lastValue: Int64 = 0
  /// For formats without a day or year: Unix milliseconds of a moment close to the lines, after which none of them was written.
  var reference: Int64 = 0 {
    // What the last text meant hung on it.
    didSet { lastText.removeAll(keepingCapacity: true) }
  }
  /// Every value ends where the same bytes ended before: true unless the format ends in a word (`UTC`).
  private let isRepeatable: Bool
  /// nil when the lanes cannot tell by its bytes what a value is.
  private let shape: TimeShape?

  init(_ format: TimeFormat) {
    self.format = format
    shape = TimeShape(format)
    isISO8601Milliseconds = format == .iso8601Milliseconds
    isRepeatable = !format.parts.contains(.zoneName)
    hasFraction = format.parts.contains {
      if case .fraction = $0 { return true }
      return $0 == .epochSeconds || $0 == .epochMilliseconds
    }
  }

  /// Unix milliseconds; `p` moves behind the value; nil when the bytes are no time of this format.
  @inline(__always) mutating func read(_ p: inout Bytes, to end: Bytes) -> Int64? {
    if isISO8601Milliseconds, let value = readISO(&p, to: end) { return value }
    return readGeneral(&p, to: end)
  }

  /// Lets the lanes read what is like `text`, which is `value`, except for its seconds.
  func show(_ text: Slice, _ value: Int64, in moment: UnsafeMutablePointer<lanes_moment>) {
    if let known = shape?.moment(text, value) { moment.pointee = known }
  }

  /// `2016-04-15T20:17:00.310Z`
  @inline(__always) private mutating func readISO(_ p: inout Bytes, to end: Bytes) -> Int64? {
    guard end - p >= 24 else { return nil }
    // "2016-04-15T20:17" is what it was on the line before, or is read anew.
    let words = (Scan.load(p), Scan.load(p + 8))
    if words != lastMinute {
      guard let minute = Self.minute(p) else { return nil }
      lastMinute = words
      lastMinuteMs = minute
    }
    // ":00.310Z": digits become their values, and whatever else is in place becomes zero.
    let x = Scan.load(p + 16) ^ 0x5A30_3030_2E30_303A
    guard ((x &+ 0x7F76_7676_7F76_767F) | x) & Scan.highs == 0 else { return nil }
    @inline(__always) func digit(_ i: UInt64) -> Int64 { Int64(truncatingIfNeeded: x >> (i &* 8) & 0xFF) }
    let second = digit(1) &* 10 &+ digit(2)
    guard second <= 60 else { return nil }
    p += 24
    return lastMinuteMs &+ second &* 1000 &+ digit(4) &* 100 &+ digit(5) &* 10 &+ digit(6)
  }

  /// `2016-04-15T20:17` in Unix milliseconds.
  @inline(never) private static func minute(_ p: Bytes) -> Int64? {
    guard let midnight = midnight(p), p[10] == ASCII.upperT, p[13] == ASCII.colon else { return nil }
    for i in [11, 12, 14, 15] where !ASCII.isDigit(p[i]) { return nil }
    let hour = Int64(p[11] - ASCII.zero) * 10 + Int64(p[12] - ASCII.zero)
    let minute = Int64(p[14] - ASCII.zero) * 10 + Int64(p[15] - ASCII.zero)
    return hour < 24 && minute < 60 ? midnight + (hour * 60 + minute) * 60_000 : nil
  }

  private static func midnight(_ p: Bytes) -> Int64? {
    func number(_ from: Int, _ count: Int) -> Int64? {
      var value: Int64 = 0
      for i in from..<(from + count) {
        guard ASCII.isDigit(p[i]) else { return nil }
        value = value * 10 + Int64(p[i] - ASCII.zero)
      }
      return value
    }
    guard let year = number(0, 4), p[4] == ASCII.minus, let month = number(5, 2), p[7] == ASCII.minus,
      let day = number(8, 2), 1...12 ~= month, 1...CivilCalendar.daysInMonth(year: year, month: month) ~= day
    else { return nil }
    return CivilCalendar.days(year: year, month: month, day: day) * 86_400_000
  }

  @inline(never) private mutating func readGeneral(_ p: inout Bytes, to end: Bytes) -> Int64? {
    if !lastText.isEmpty, end - p >= lastText.count,
      lastText.withUnsafeBufferPointer({ memcmp($0.baseAddress!, p, $0.count) == 0 })
    {
      p += lastText.count
      return lastValue
    }
    let start = p
    guard let value = Self.read(format.parts, &p, to: end, reference: reference) else { return nil }
    if !hasFraction, isRepeatable {
      lastText.removeAll(keepingCapacity: true)
      lastText.append(contentsOf: UnsafeBufferPointer(start: start, count: p - start))
      lastValue = value
    }
    return value
  }

  /// The interpreter behind all formats; `reference` lends the year or the day to formats that have none.
  static func read(_ parts: [TimeFormat.Part], _ p: inout Bytes, to end: Bytes, reference: Int64) -> Int64? {
    var fields = TimeFields()
    for part in parts {
      guard fields.read(part, &p, to: end) else { return nil }
    }
    return fields.moment(near: reference)
  }

  /// Whether a time of one format names a zone of which only its neighbours know where it is.
  static func hasForeignZone(_ parts: [TimeFormat.Part], _ text: Slice) -> Bool {
    if text.isMissing { return false }
    var fields = TimeFields()
    var p = text.start
    // Of a text of another form, which stands in the column of a second time, nothing is known.
    return !parts.allSatisfy { fields.read($0, &p, to: text.end) } || fields.hasForeignZone
  }

  /// `Z`, `+0000`, `+00:00`, `-0700` in milliseconds east of UTC.
  static func zone(_ p: inout Bytes, to end: Bytes) -> Int64? {
    guard p < end else { return nil }
    if p.pointee == ASCII.upperZ {
      p += 1
      return 0
    }
    guard p.pointee == ASCII.plus || p.pointee == ASCII.minus, end - p >= 5 else { return nil }
    let sign: Int64 = p.pointee == ASCII.plus ? 1 : -1
    p += 1
    var digits: Int64 = 0
    for index in 0..<4 {
      if index == 2, p.pointee == ASCII.colon { p += 1 }
      guard p < end, ASCII.isDigit(p.pointee) else { return nil }
      digits = digits * 10 + Int64(p.pointee - ASCII.zero)
      p += 1
    }
    // No place on earth is farther from UTC than 14 hours.
    guard digits <= 1559, digits % 100 < 60 else { return nil }
    return sign * ((digits / 100) * 60 + digits % 100) * 60_000
  }
}
