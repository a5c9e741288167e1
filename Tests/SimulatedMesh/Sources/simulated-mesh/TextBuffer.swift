internal import Foundation

/// Bytes on their way into a file.
struct TextBuffer {
  private(set) var bytes: [UInt8] = []
  private var day: Int64 = .min
  private var date: (year: Int, month: Int, day: Int) = (0, 0, 0)

  static let flushSize = 1 << 20
  private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
  private static let digits = Array("0123456789abcdef".utf8)

  init() { bytes.reserveCapacity(TextBuffer.flushSize + 65_536) }

  mutating func write(to file: FileHandle) throws {
    try file.write(contentsOf: bytes)
    bytes.removeAll(keepingCapacity: true)
  }

  mutating func add(_ text: StaticString) {
    text.withUTF8Buffer { bytes.append(contentsOf: $0) }
  }

  mutating func add(_ text: [UInt8]) { bytes.append(contentsOf: text) }

  mutating func add(_ number: Int64, width: Int = 1) {
    if number < 0 {
      bytes.append(UInt8(ascii: "-"))
      return add(-number, width: width)
    }
    let first = bytes.count
    var rest = number
    var left = width
    while rest > 0 || left > 0 {
      bytes.append(TextBuffer.digits[Int(rest % 10)])
      rest /= 10
      left -= 1
    }
    bytes[first...].reverse()
  }

  /// `2026-11-02T09:00:00.000Z`
  mutating func addTime(_ milliseconds: Int64, fraction: Int = 3) {
    addDate(milliseconds)
    bytes.append(UInt8(ascii: "T"))
    addClock(milliseconds)
    bytes.append(UInt8(ascii: "."))
    add(milliseconds % 1_000, width: 3)
    for _ in 3..<max(fraction, 3) { bytes.append(UInt8(ascii: "0")) }
    bytes.append(UInt8(ascii: "Z"))
  }

  /// `02/Nov/2026:09:00:00 +0000`
  mutating func addLocalTime(_ milliseconds: Int64) {
    turn(to: milliseconds)
    add(Int64(date.day), width: 2)
    bytes.append(UInt8(ascii: "/"))
    bytes.append(contentsOf: TextBuffer.months[date.month - 1].utf8)
    bytes.append(UInt8(ascii: "/"))
    add(Int64(date.year), width: 4)
    bytes.append(UInt8(ascii: ":"))
    addClock(milliseconds)
    add(" +0000")
  }

  /// Seconds with three digits behind the point.
  mutating func addSeconds(_ milliseconds: Int64) {
    add(milliseconds / 1_000)
    bytes.append(UInt8(ascii: "."))
    add(milliseconds % 1_000, width: 3)
  }

  /// A UUID of the number, with the digit that Envoy marks its sampling with.
  mutating func addUUID(_ id: UInt64, mark: UInt8) {
    let halves = (id, id &* 0x9E37_79B9_7F4A_7C15)
    for digit in 0..<32 {
      if digit == 8 || digit == 12 || digit == 16 || digit == 20 { bytes.append(UInt8(ascii: "-")) }
      let half = digit < 16 ? halves.0 : halves.1
      bytes.append(digit == 12 ? mark : TextBuffer.digits[Int(half >> UInt64(digit % 16 * 4) & 15)])
    }
  }

  private mutating func addDate(_ milliseconds: Int64) {
    turn(to: milliseconds)
    add(Int64(date.year), width: 4)
    bytes.append(UInt8(ascii: "-"))
    add(Int64(date.month), width: 2)
    bytes.append(UInt8(ascii: "-"))
    add(Int64(date.day), width: 2)
  }

  private mutating func addClock(_ milliseconds: Int64) {
    let second = milliseconds / 1_000 % 86_400
    add(second / 3_600, width: 2)
    bytes.append(UInt8(ascii: ":"))
    add(second / 60 % 60, width: 2)
    bytes.append(UInt8(ascii: ":"))
    add(second % 60, width: 2)
  }

  /// The civil date of the day, by Howard Hinnant's algorithm.
  private mutating func turn(to milliseconds: Int64) {
    let number = milliseconds / 86_400_000
    guard number != day else { return }
    day = number
    let shifted = number + 719_468
    let era = shifted / 146_097
    let dayOfEra = shifted - era * 146_097
    let year = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * year + year / 4 - year / 100)
    let month = (5 * dayOfYear + 2) / 153
    date.day = Int(dayOfYear - (153 * month + 2) / 5 + 1)
    date.month = Int(month < 10 ? month + 3 : month - 9)
    date.year = Int(year + era * 400 + (date.month <= 2 ? 1 : 0))
  }
}
