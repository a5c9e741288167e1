/// Text on its way out, as UTF-8.
///
/// Rows go out by the million: each is written into one of these, and no piece of it becomes a String of its own.
public struct OutputText: Sendable {
  public private(set) var utf8: [UInt8] = []

  public init() {}
  public init(_ text: String) { utf8 = Array(text.utf8) }

  public var string: String { String(decoding: utf8, as: UTF8.self) }

  mutating func removeAll() { utf8.removeAll(keepingCapacity: true) }

  mutating func append(_ byte: UInt8) { utf8.append(byte) }
  mutating func append(_ bytes: UnsafeBufferPointer<UInt8>) { utf8.append(contentsOf: bytes) }
  mutating func append(_ bytes: [UInt8]) { utf8.append(contentsOf: bytes) }

  mutating func append(_ text: String) {
    var text = text
    text.withUTF8 { utf8.append(contentsOf: $0) }
  }

  mutating func append(_ byte: UInt8, count: Int) { utf8.append(contentsOf: repeatElement(byte, count: max(0, count))) }

  /// Takes blanks away from the end, as far back as `start`.
  mutating func trim(from start: Int) {
    while utf8.count > start, utf8[utf8.count - 1] == UInt8(ascii: " ") { utf8.removeLast() }
  }

  mutating func removeLast(_ count: Int) { utf8.removeLast(count) }

  // MARK: Numbers

  mutating func append(_ number: Int64) {
    if number < 0 { utf8.append(UInt8(ascii: "-")) }
    append(digitsOf: number.magnitude)
  }

  /// - Parameter width: digits at least, with zeros in front.
  mutating func append(digitsOf number: UInt64, width: Int = 1) {
    var (count, rest) = (1, number)
    while rest >= 10 {
      rest /= 10
      count += 1
    }
    append(UInt8(ascii: "0"), count: max(count, width))
    rest = number
    var place = utf8.count - 1
    while rest > 0 {
      utf8[place] = UInt8(ascii: "0") + UInt8(rest % 10)
      rest /= 10
      place -= 1
    }
  }

  /// - Parameter width: digits at least, with zeros in front.
  mutating func append(padded number: Int64, width: Int) {
    if number < 0 { utf8.append(UInt8(ascii: "-")) }
    append(digitsOf: number.magnitude, width: width)
  }
}

extension UnsafeBufferPointer<UInt8> {
  /// All can be printed on a terminal as they stand, and take a column each.
  var isPrintableASCII: Bool { allSatisfy { $0 >= 0x20 && $0 < 0x7F } }
}
