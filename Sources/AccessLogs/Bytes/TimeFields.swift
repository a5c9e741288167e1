internal import Flows

/// What the parts of a format say of a moment, as far as they are read.
struct TimeFields {
  private var year: Int64 = 0
  private var hasYear = false
  private var month: Int64 = 1
  private var day: Int64 = 1
  private var yearDay: Int64 = 0
  /// `day` or `yearDay` was read.
  private var hasDay = false
  private var hour: Int64 = 0
  private var isPM = false
  private var minute: Int64 = 0
  private var second: Int64 = 0
  private var fraction: Int64 = 0
  /// Milliseconds east of UTC.
  private var offset: Int64 = 0
  private var epoch: Int64 = Numbers.missing
  /// The zone has a name that is none of UTC's.
  private(set) var hasForeignZone = false

  // MARK: Part by part

  /// Reads one part; false when the bytes are none of its. Inlined, so that the fields stay in registers.
  @inline(__always)
  mutating func read(_ part: TimeFormat.Part, _ p: inout Bytes, to end: Bytes) -> Bool {
    switch part {
    case .literal(let bytes): return Self.skip(bytes, &p, to: end)
    case .year4:
      hasYear = true
      return Self.number(4, in: 0...9999, &p, to: end, into: &year)
    case .year2:
      hasYear = true
      guard Self.number(2, in: 0...99, &p, to: end, into: &year) else { return false }
      year += year < 70 ? 2000 : 1900  // strptime's rule
      return true
    case .month2: return Self.number(2, in: 1...12, &p, to: end, into: &month)
    case .monthName: return Self.monthName(&p, to: end, into: &month)
    case .weekdayName: return Self.weekdayName(&p, to: end)
    case .day2:
      hasDay = true
      return Self.number(2, in: 1...31, &p, to: end, into: &day)
    case .dayPadded:
      hasDay = true
      guard p < end, p.pointee == ASCII.space else { return Self.number(2, in: 1...31, &p, to: end, into: &day) }
      p += 1
      return Self.number(1, in: 1...9, &p, to: end, into: &day)
    case .yearDay3:
      hasDay = true
      return Self.number(3, in: 1...366, &p, to: end, into: &yearDay)
    case .hour2: return Self.number(2, in: 0...23, &p, to: end, into: &hour)
    case .hour12:
      guard Self.number(2, in: 1...12, &p, to: end, into: &hour) else { return false }
      hour %= 12
      return true
    case .amPm: return Self.half(&p, to: end, into: &isPM)
    case .minute2: return Self.number(2, in: 0...59, &p, to: end, into: &minute)
    case .second2: return Self.number(2, in: 0...60, &p, to: end, into: &second)
    case .fraction(let digits): return Self.thousandths(of: digits, &p, to: end, into: &fraction)
    case .epochSeconds:
      guard let value = Numbers.digits(&p, to: end), value < 1 << 41 else { return false }
      epoch = value * 1000
      return true
    case .epochMilliseconds:
      guard let value = Numbers.digits(&p, to: end), value < 1 << 51 else { return false }
      epoch = value
      return true
    case .zone:
      guard let value = TimeReader.zone(&p, to: end) else { return false }
      offset = value
      return true
    case .zoneName:
      if let value = Self.offset(&p, to: end) {
        offset = value
        return true
      }
      let start = p
      while p < end, ASCII.isLetter(p.pointee) { p += 1 }
      let name = Slice(start, p)
      hasForeignZone = !name.equals("UTC") && !name.equals("GMT") && !name.equals("Z")
      return true
    }
  }

  /// `+03`, `-0330`: what stands for the name of a zone that has none (tz database, `%z` in `FORMAT`).
  @inline(never)
  private static func offset(_ p: inout Bytes, to end: Bytes) -> Int64? {
    guard end - p >= 3, p[0] == ASCII.plus || p[0] == ASCII.minus, ASCII.isDigit(p[1]), ASCII.isDigit(p[2]) else {
      return nil
    }
    let sign: Int64 = p[0] == ASCII.plus ? 1 : -1
    var minutes = (Int64(p[1] - ASCII.zero) * 10 + Int64(p[2] - ASCII.zero)) * 60
    let hasMinutes = end - p >= 5 && ASCII.isDigit(p[3]) && ASCII.isDigit(p[4])
    if hasMinutes { minutes += Int64(p[3] - ASCII.zero) * 10 + Int64(p[4] - ASCII.zero) }
    p += hasMinutes ? 5 : 3
    return sign * minutes * 60_000
  }

  @inline(__always)
  private static func skip(_ literal: [UInt8], _ p: inout Bytes, to end: Bytes) -> Bool {
    guard end - p >= literal.count else { return false }
    for byte in literal {
      guard p.pointee == byte else { return false }
      p += 1
    }
    return true
  }

  /// As many digits as `count`.
  @inline(__always)
  private static func number(
    _ count: Int, in range: ClosedRange<Int64>, _ p: inout Bytes, to end: Bytes, into field: inout Int64
  ) -> Bool {
    guard end - p >= count else { return false }
    var value: Int64 = 0
    for _ in 0..<count {
      guard ASCII.isDigit(p.pointee) else { return false }
      value = value &* 10 &+ Int64(p.pointee &- ASCII.zero)
      p += 1
    }
    field = value
    return range ~= value
  }

  private static let months: [StaticString] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
  ]

  @inline(__always)
  private static func monthName(_ p: inout Bytes, to end: Bytes, into month: inout Int64) -> Bool {
    guard end - p >= 3 else { return false }
    let name = Slice(p, p + 3)
    guard let index = months.firstIndex(where: { name.equals($0) }) else { return false }
    month = Int64(index + 1)
    p += 3
    return true
  }

  @inline(__always)
  private static func weekdayName(_ p: inout Bytes, to end: Bytes) -> Bool {
    guard end - p >= 3, ASCII.isLetter(p[0]), ASCII.isLetter(p[1]), ASCII.isLetter(p[2]) else { return false }
    p += 3
    return true
  }

  /// `AM` or `PM`.
  @inline(__always)
  private static func half(_ p: inout Bytes, to end: Bytes, into isPM: inout Bool) -> Bool {
    let first = end - p >= 2 ? p[0] | 0x20 : 0
    guard first == 0x61 || first == 0x70, p[1] | 0x20 == 0x6D else { return false }
    isPM = first == 0x70
    p += 2
    return true
  }

  /// Milliseconds are kept; finer digits are read over.
  @inline(__always)
  private static func thousandths(of digits: Int, _ p: inout Bytes, to end: Bytes, into field: inout Int64) -> Bool {
    guard digits > 0, end - p >= digits else { return false }
    var value: Int64 = 0
    for index in 0..<digits {
      guard ASCII.isDigit(p.pointee) else { return false }
      if index < 3 { value = value * 10 + Int64(p.pointee - ASCII.zero) }
      p += 1
    }
    for _ in digits..<max(digits, 3) { value *= 10 }
    field = value
    return true
  }

  // MARK: All together

  /// Unix milliseconds; nil when there is no such day.
  ///
  /// - Parameter reference: lends the year or the day to formats that have none.
  @inline(__always)
  func moment(near reference: Int64) -> Int64? {
    if epoch != Numbers.missing { return epoch + fraction }
    let hour = isPM ? hour + 12 : hour
    let clock = ((hour * 60 + minute) * 60 + second) * 1000 + fraction - offset
    guard hasDay else {
      // A clock without a day: the last time that it showed this before the reference.
      return Self.latest(like: clock, upTo: reference + Self.fileSlackMs)
    }
    if yearDay > 0 {
      let first = CivilCalendar.days(year: hasYear ? year : Self.year(of: reference), month: 1, day: 1)
      return (first + yearDay - 1) * Self.dayMs + clock
    }
    guard hasYear else {
      // A day without a year (syslog): the year in which it is closest to the reference.
      let around = Self.year(of: reference)
      return Self.closest(
        to: reference, midnight(in: around - 1) + clock, midnight(in: around) + clock, midnight(in: around + 1) + clock)
    }
    guard day <= CivilCalendar.daysInMonth(year: year, month: month) else { return nil }
    return midnight(in: year) + clock
  }

  /// The latest moment up to `end` at which clocks show what they show at `ms`.
  static func latest(like ms: Int64, upTo end: Int64) -> Int64 {
    let rest = (end - ms) % dayMs
    return end - (rest < 0 ? rest + dayMs : rest)
  }

  static let dayMs: Int64 = 86_400_000
  /// Clocks of machines differ by less.
  static let clockSlackMs: Int64 = 300_000
  /// Of a file that came out of an archive, the time is known to two seconds (PKWARE APPNOTE 4.4.6).
  static let fileSlackMs: Int64 = 2000

  private func midnight(in year: Int64) -> Int64 {
    CivilCalendar.days(year: year, month: month, day: day) * Self.dayMs
  }

  /// Of equally close ones the first.
  private static func closest(to reference: Int64, _ first: Int64, _ second: Int64, _ third: Int64) -> Int64 {
    var closest = first
    if abs(second - reference) < abs(closest - reference) { closest = second }
    if abs(third - reference) < abs(closest - reference) { closest = third }
    return closest
  }

  private static func year(of ms: Int64) -> Int64 {
    CivilCalendar.date(fromDays: (ms >= 0 ? ms : ms - dayMs + 1) / dayMs).year
  }
}
