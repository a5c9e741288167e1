/// The text a compiler reads, with the place of each byte in the string the user wrote.
///
/// The two differ inside a JSON format, where an operator string is a JSON string with escapes.
struct FormatText {
  /// What errors show: the whole of what the user wrote.
  let source: String
  let bytes: [UInt8]
  /// Offset in `source` of each byte, and of the end; nil when they are the same.
  private let offsets: [Int]?

  init(_ source: String) {
    self.source = source
    bytes = Array(source.utf8)
    offsets = nil
  }

  init(source: String, string: FormatJSON.Text) {
    self.source = source
    bytes = string.bytes
    offsets = string.offsets
  }

  private init(source: String, bytes: [UInt8], offsets: [Int]?) {
    self.source = source
    self.bytes = bytes
    self.offsets = offsets
  }

  /// Without the line end that Envoy wants inside a format string: a newline, or the two characters `\n`.
  var withoutLineEnd: FormatText {
    var count = bytes.count
    while count > 0 {
      if bytes[count - 1] == ASCII.newline || bytes[count - 1] == ASCII.carriageReturn {
        count -= 1
      } else if count > 1, bytes[count - 1] == UInt8(ascii: "n"), bytes[count - 2] == ASCII.backslash {
        count -= 2
      } else {
        break
      }
    }
    return FormatText(
      source: source, bytes: Array(bytes[..<count]), offsets: offsets.map { Array($0[...count]) })
  }

  /// An error at a range of `bytes`.
  func error(_ range: Range<Int>, _ message: String, help: String) -> FormatError {
    var place = range
    if let offsets {
      let lower = offsets[min(range.lowerBound, offsets.count - 1)]
      place = lower..<max(lower, offsets[min(range.upperBound, offsets.count - 1)])
    }
    return FormatError(format: source, range: place, message: message, help: help)
  }

  func string(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }

  /// First offset of `byte` at or after `start`.
  func firstIndex(of byte: UInt8, from start: Int) -> Int? { bytes[start...].firstIndex(of: byte) }

  /// End of the run of bytes from `start` that satisfy `isPart`.
  func endOfRun(from start: Int, where isPart: (UInt8) -> Bool) -> Int {
    var index = start
    while index < bytes.count, isPart(bytes[index]) { index += 1 }
    return index
  }
}
