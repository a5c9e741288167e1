/// The strings of a JSON object with their places: as much of JSON as a `json_format` needs, read over bytes.
///
/// Numbers, booleans and nulls are constants that no line needs; they are read over.
struct FormatJSON {
  /// A decoded string, and the offset in the source of each of its bytes and of its end.
  struct Text {
    var bytes: [UInt8] = []
    var offsets: [Int] = []
    /// Where the string stands, quotes included.
    var range = 0..<0

    var string: String { String(decoding: bytes, as: UTF8.self) }
  }

  struct Member {
    /// Keys from the outermost object in; the elements of an array are called `[0]`, `[1]`, ...
    var path: [String]
    var isInArray: Bool
    var value: Text
  }

  /// How deep objects may be nested; the parser calls itself once per level.
  private static let maxDepth = 32

  private let source: String
  private let bytes: [UInt8]
  private var index = 0
  private var members: [Member] = []
  private var arrayDepth = 0

  private init(_ source: String) {
    self.source = source
    bytes = Array(source.utf8)
  }

  /// All members whose value is a string, nested ones included, in the order of the text.
  static func members(of source: String) throws(FormatError) -> [Member] {
    var reader = FormatJSON(source)
    reader.skipBlanks()
    try reader.readObject(path: [])
    reader.skipBlanks()
    if reader.index < reader.bytes.count {
      throw reader.error("text after the end of the JSON object", help: "give one JSON object and nothing else")
    }
    return reader.members
  }

  private mutating func readObject(path: [String]) throws(FormatError) {
    guard path.count < Self.maxDepth else {
      throw error("objects nested deeper than \(Self.maxDepth)", help: "flatten the format")
    }
    try expect("{")
    skipBlanks()
    if take("}") { return }
    while true {
      skipBlanks()
      let key = try readString(what: "a key in double quotes")
      skipBlanks()
      try expect(":")
      skipBlanks()
      try readValue(path: path + [key.string])
      skipBlanks()
      if take("}") { return }
      guard take(",") else {
        throw error("expected \",\" or \"}\"", help: "separate the members of an object with commas")
      }
    }
  }

  private mutating func readValue(path: [String]) throws(FormatError) {
    guard index < bytes.count else {
      throw error("the JSON object ends too early", help: "close every brace and quote")
    }
    switch bytes[index] {
    case UInt8(ascii: "{"): try readObject(path: path)
    case UInt8(ascii: "["): try readArray(path: path)
    case ASCII.quote:
      members.append(Member(path: path, isInArray: arrayDepth > 0, value: try readString(what: "a string")))
    default:
      let start = index
      while index < bytes.count, ASCII.isName(bytes[index]) || [0x2B, 0x2D, 0x2E].contains(bytes[index]) { index += 1 }
      let word = String(decoding: bytes[start..<index], as: UTF8.self)
      let isNumber = bytes[start..<index].first.map { ASCII.isDigit($0) || $0 == 0x2D } ?? false
      guard isNumber || ["true", "false", "null"].contains(word) else {
        index = start
        throw error("expected a value", help: "put operators in double quotes: \"%DURATION%\"")
      }
    }
  }

  private mutating func readArray(path: [String]) throws(FormatError) {
    guard path.count < Self.maxDepth else {
      throw error("values nested deeper than \(Self.maxDepth)", help: "flatten the format")
    }
    arrayDepth += 1
    defer { arrayDepth -= 1 }
    try expect("[")
    skipBlanks()
    if take("]") { return }
    var position = 0
    while true {
      skipBlanks()
      try readValue(path: path + ["[\(position)]"])
      position += 1
      skipBlanks()
      if take("]") { return }
      guard take(",") else {
        throw error("expected \",\" or \"]\"", help: "separate the values of an array with commas")
      }
    }
  }

  private mutating func readString(what: String) throws(FormatError) -> Text {
    let start = index
    guard take("\"") else { throw error("expected \(what)", help: "JSON keys and strings stand in double quotes") }
    var text = Text()
    while index < bytes.count, bytes[index] != ASCII.quote {
      let place = index
      var decoded = [bytes[index]]
      if bytes[index] == ASCII.backslash {
        decoded = try readEscape()
      } else {
        index += 1
      }
      text.bytes.append(contentsOf: decoded)
      text.offsets.append(contentsOf: repeatElement(place, count: decoded.count))
    }
    guard index < bytes.count else {
      throw FormatError(
        format: source, range: start..<bytes.count, message: "the string has no end",
        help: "close it with a double quote")
    }
    text.offsets.append(index)
    index += 1
    text.range = start..<index
    return text
  }

  private mutating func readEscape() throws(FormatError) -> [UInt8] {
    let start = index
    index += 1
    let letter = index < bytes.count ? bytes[index] : 0
    index += 1
    switch letter {
    case ASCII.quote, ASCII.backslash, UInt8(ascii: "/"): return [letter]
    case UInt8(ascii: "n"): return [ASCII.newline]
    case UInt8(ascii: "t"): return [ASCII.tab]
    case UInt8(ascii: "r"): return [ASCII.carriageReturn]
    case UInt8(ascii: "b"): return [0x08]
    case UInt8(ascii: "f"): return [0x0C]
    case UInt8(ascii: "u"):
      if var code = readHex() {
        // A pair of surrogates stands for one character; a lone one becomes the replacement character.
        if code & 0xFC00 == 0xD800, index + 1 < bytes.count, bytes[index] == ASCII.backslash,
          bytes[index + 1] == UInt8(ascii: "u")
        {
          let mark = index
          index += 2
          if let low = readHex(), low & 0xFC00 == 0xDC00 {
            code = 0x10000 + (code & 0x3FF) << 10 + (low & 0x3FF)
          } else {
            index = mark
          }
        }
        return Array(String(Unicode.Scalar(code) ?? "\u{FFFD}").utf8)
      }
    default: break
    }
    throw FormatError(
      format: source, range: start..<min(start + 2, bytes.count), message: "unknown escape in a JSON string",
      help: "use \\\", \\\\, \\/, \\n, \\t, \\r, \\b, \\f or \\u with four hexadecimal digits")
  }

  private mutating func readHex() -> UInt32? {
    guard index + 4 <= bytes.count else { return nil }
    let digits = bytes[index..<index + 4]
    guard let code = UInt32(String(decoding: digits, as: UTF8.self), radix: 16), digits.first != 0x2B else {
      return nil
    }
    index += 4
    return code
  }

  private mutating func skipBlanks() {
    while index < bytes.count, ASCII.isBlank(bytes[index]) { index += 1 }
  }

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    guard index < bytes.count, bytes[index] == UInt8(ascii: character) else { return false }
    index += 1
    return true
  }

  private mutating func expect(_ character: Unicode.Scalar) throws(FormatError) {
    guard take(character) else {
      throw error(
        "expected \"\(character)\"", help: "the format has to be a JSON object: {\"key\": \"%OPERATOR%\", ...}")
    }
  }

  private func error(_ message: String, help: String) -> FormatError {
    FormatError(
      format: source, range: min(index, bytes.count)..<min(index + 1, bytes.count), message: message, help: help)
  }
}
