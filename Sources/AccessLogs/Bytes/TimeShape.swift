internal import CLanes
internal import Glibc

/// Where the seconds of times of one format stand, and the thousandths behind them, so that of two times that differ in
/// nothing else one tells the other.
struct TimeShape {
  /// What all times of the format have in common.
  private let model: lanes_moment
  /// A bit for each byte that is a digit of the seconds or the thousandths.
  private let varying: UInt32
  /// Digits that a time since 1970 has, from its first byte on.
  private let epochDigits: Int

  /// Digits of the seconds since 1970 from 2001 to 2286; the last two of them are what mostly changes.
  private static let secondDigits = 10

  /// nil where the place of the seconds depends on the value, or their meaning on more than the value.
  init?(_ format: TimeFormat) {
    var offset = 0
    var epochDigits = 0
    var secondAt: Int?
    var thousandthsAt: Int?
    var (hasYear, hasDay) = (false, false)
    for (index, part) in format.parts.enumerated() {
      switch part {
      case .epochSeconds where index == 0, .epochMilliseconds where index == 0:
        secondAt = Self.secondDigits - 2
        offset = Self.secondDigits
        if part == .epochMilliseconds {
          thousandthsAt = offset
          offset += 3
        }
        epochDigits = offset
      case .year4: (hasYear, offset) = (true, offset + 4)
      case .year2: (hasYear, offset) = (true, offset + 2)
      case .day2, .dayPadded: (hasDay, offset) = (true, offset + 2)
      case .yearDay3: (hasDay, offset) = (true, offset + 3)
      case .month2, .hour2, .hour12, .amPm, .minute2: offset += 2
      case .monthName, .weekdayName: offset += 3
      case .second2 where secondAt == nil: (secondAt, offset) = (offset, offset + 2)
      case .fraction(3) where thousandthsAt == nil: (thousandthsAt, offset) = (offset, offset + 3)
      case .literal(let bytes): offset += bytes.count
      // As long as it was, and the last of all.
      case .zone where index == format.parts.count - 1: break
      default: return nil
      }
    }
    guard let secondAt, epochDigits > 0 || hasYear && hasDay, offset <= 32 else { return nil }
    var model = lanes_moment()
    model.second_at = UInt8(secondAt)
    // A minute has a sixtieth one now and then; the readers of times take it everywhere.
    model.most_seconds = epochDigits > 0 ? 99 : 60
    var varying = UInt32(0b11) << UInt32(secondAt)
    if let thousandthsAt {
      model.thousandths_at = UInt8(thousandthsAt)
      model.has_thousandths = 1
      varying |= UInt32(0b111) << UInt32(thousandthsAt)
    }
    self.model = model
    self.varying = varying
    self.epochDigits = epochDigits
  }

  /// What the lanes have to know of `text`, which was read as `value`; nil for an odd one.
  func moment(_ text: Slice, _ value: Int64) -> lanes_moment? {
    // What varies is within: a bit for each byte of the text.
    guard text.count <= 32, value != Numbers.missing else { return nil }
    let all = text.count == 32 ? UInt32.max : 1 << UInt32(text.count) - 1
    guard varying & ~all == 0 else { return nil }
    for place in 0..<epochDigits where !ASCII.isDigit(text[place]) { return nil }
    // With more digits these would be others.
    if epochDigits > 0, text.count > epochDigits, ASCII.isDigit(text[epochDigits]) { return nil }
    var moment = model
    moment.length = UInt8(text.count)
    moment.fixed = all & ~varying
    // In bounds: as many bytes there as `text` has at most.
    withUnsafeMutableBytes(of: &moment.text) { _ = memcpy($0.baseAddress!, text.start, text.count) }
    var own: Int64 = 0
    guard withUnsafePointer(to: moment, { lanes_read_time(text.start, $0, &own) }) != nil else { return nil }
    moment.base = value - own
    return moment
  }
}
