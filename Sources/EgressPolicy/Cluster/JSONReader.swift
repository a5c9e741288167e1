/// Reads JSON piece by piece, as it is asked: what nobody asks for is stepped over, so that a dump of 100 MB needs little
/// more memory than its bytes.
///
///     try reader.members { reader, key in
///       if key == "name" { name = try reader.text() } else { try reader.skip() }
///     }
///
/// Knows where it is, as `items[3].status.podIP`, for messages. RFC 8259, except that what is stepped over is only
/// looked at as far as its end needs it.
struct JSONReader {
  /// Deeper nesting than any object of Kubernetes has; a file of brackets must not fill the stack.
  static let depthLimit = 200

  private let bytes: [UInt8]
  private(set) var position: Int
  private var path: [Component] = []

  private enum Component {
    case member(String)
    case element(Int)
  }

  init(_ bytes: [UInt8]) {
    self.bytes = bytes
    // a byte order mark, which some shells on Windows write
    position = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
  }

  /// What went wrong, where.
  struct Problem: Error {
    var line: Int
    var path: String
    var message: String
  }

  enum Kind {
    case object
    case array
    case string
    case number
    case boolean
    case null
  }

  // MARK: - Place

  /// `items[3].metadata.labels."app.kubernetes.io/name"`; empty at the top.
  var place: String {
    var text = ""
    for component in path {
      switch component {
      case .element(let index): text += "[\(index)]"
      case .member(let name):
        let isPlain = !name.isEmpty && name.utf8.allSatisfy { isWordByte($0) }
        text += (text.isEmpty ? "" : ".") + (isPlain ? name : "\"\(name)\"")
      }
    }
    return text
  }

  private func isWordByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
      true
    default: false
    }
  }

  func problem(_ message: String) -> Problem {
    let read = bytes[..<min(position, bytes.count)]
    return Problem(line: read.reduce(1) { $0 + ($1 == UInt8(ascii: "\n") ? 1 : 0) }, path: place, message: message)
  }

  /// Reads again from a place that was passed.
  func at(_ position: Int) -> JSONReader {
    var copy = self
    copy.position = position
    return copy
  }

  /// As `at`, with the name of the member that stands there.
  func at(_ position: Int, member: String) -> JSONReader {
    var copy = at(position)
    copy.path.append(.member(member))
    return copy
  }

  // MARK: - Values

  private mutating func skipSpace() {
    while position < bytes.count {
      switch bytes[position] {
      case UInt8(ascii: " "), UInt8(ascii: "\n"), UInt8(ascii: "\r"), UInt8(ascii: "\t"): position += 1
      default: return
      }
    }
  }

  /// Nothing follows but white space.
  mutating func isAtEnd() -> Bool {
    skipSpace()
    return position == bytes.count
  }

  mutating func kind() throws(Problem) -> Kind {
    skipSpace()
    guard position < bytes.count else { throw problem("the file ends too early") }
    switch bytes[position] {
    case UInt8(ascii: "{"): return .object
    case UInt8(ascii: "["): return .array
    case UInt8(ascii: "\""): return .string
    case UInt8(ascii: "t"), UInt8(ascii: "f"): return .boolean
    case UInt8(ascii: "n"): return .null
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number
    default: throw problem("no JSON value begins here")
    }
  }

  /// Calls `body` with each name, the reader standing before the value; `body` must read or skip it. null has no members.
  mutating func members(_ body: (inout JSONReader, String) throws(Problem) -> Void) throws(Problem) {
    switch try kind() {
    case .null: return try skip()
    case .object: break
    default: throw problem("an object { } is expected here")
    }
    guard path.count < JSONReader.depthLimit else { throw problem("nested too deep") }
    position += 1
    skipSpace()
    if try take(UInt8(ascii: "}")) { return }
    while true {
      guard try kind() == .string else { throw problem("a name in quotes is expected here") }
      let name = try string()
      skipSpace()
      guard try take(UInt8(ascii: ":")) else { throw problem("a colon is missing after \"\(name)\"") }
      path.append(.member(name))
      try body(&self, name)
      path.removeLast()
      skipSpace()
      if try take(UInt8(ascii: "}")) { return }
      guard try take(UInt8(ascii: ",")) else { throw problem("a comma or } is missing") }
      skipSpace()
    }
  }

  /// As `members`, of an array; null has no elements.
  mutating func elements(_ body: (inout JSONReader) throws(Problem) -> Void) throws(Problem) {
    switch try kind() {
    case .null: return try skip()
    case .array: break
    default: throw problem("a list [ ] is expected here")
    }
    guard path.count < JSONReader.depthLimit else { throw problem("nested too deep") }
    position += 1
    skipSpace()
    if try take(UInt8(ascii: "]")) { return }
    var index = 0
    while true {
      path.append(.element(index))
      try body(&self)
      path.removeLast()
      skipSpace()
      if try take(UInt8(ascii: "]")) { return }
      guard try take(UInt8(ascii: ",")) else { throw problem("a comma or ] is missing") }
      index += 1
    }
  }

  private mutating func take(_ byte: UInt8) throws(Problem) -> Bool {
    guard position < bytes.count else { throw problem("the file ends too early") }
    guard bytes[position] == byte else { return false }
    position += 1
    return true
  }

  /// A string; a number or a truth value as written; nil for null.
  mutating func optionalText() throws(Problem) -> String? {
    switch try kind() {
    case .string: return try string()
    case .number, .boolean:
      let start = position
      try skip()
      return String(decoding: bytes[start..<position], as: UTF8.self)
    case .null:
      try skip()
      return nil
    case .object, .array: throw problem("a text is expected here")
    }
  }

  mutating func text() throws(Problem) -> String { try optionalText() ?? "" }

  /// true only where the word `true` stands, in quotes or not.
  mutating func flag() throws(Problem) -> Bool { try optionalText() == "true" }

  mutating func texts() throws(Problem) -> [String] {
    var result: [String] = []
    try elements { reader throws(Problem) in
      if let text = try reader.optionalText() { result.append(text) }
    }
    return result
  }

  mutating func textsByName() throws(Problem) -> [String: String] {
    var result: [String: String] = [:]
    try members { reader, name throws(Problem) in
      if let text = try reader.optionalText() { result[name] = text }
    }
    return result
  }

  /// Steps over a value.
  mutating func skip() throws(Problem) {
    switch try kind() {
    case .string: try skipString()
    case .number:
      while position < bytes.count, isWordByte(bytes[position]) || [0x2B, 0x2E].contains(bytes[position]) {
        position += 1
      }
    case .boolean: try skipWord(bytes[position] == UInt8(ascii: "t") ? "true" : "false")
    case .null: try skipWord("null")
    case .object, .array: try skipNested()
    }
  }

  private mutating func skipWord(_ word: StaticString) throws(Problem) {
    let length = word.utf8CodeUnitCount
    let isThere =
      position + length <= bytes.count && word.withUTF8Buffer { $0.elementsEqual(bytes[position..<position + length]) }
    guard isThere else { throw problem("no JSON value begins here") }
    position += length
  }

  /// Brackets must close in the order in which they opened: a bit per open one, set for `{`.
  private mutating func skipNested() throws(Problem) {
    var open: [Bool] = []
    repeat {
      guard position < bytes.count else { throw problem("the file ends too early") }
      switch bytes[position] {
      case UInt8(ascii: "\""):
        try skipString()
        continue
      case UInt8(ascii: "{"), UInt8(ascii: "["):
        guard path.count + open.count < JSONReader.depthLimit else { throw problem("nested too deep") }
        open.append(bytes[position] == UInt8(ascii: "{"))
      case UInt8(ascii: "}"), UInt8(ascii: "]"):
        guard open.popLast() == (bytes[position] == UInt8(ascii: "}")) else {
          throw problem("a bracket closes that was not opened")
        }
      default: break
      }
      position += 1
    } while !open.isEmpty
  }

  private mutating func skipString() throws(Problem) {
    position += 1
    while position < bytes.count {
      switch bytes[position] {
      case UInt8(ascii: "\""):
        position += 1
        return
      case UInt8(ascii: "\\"): position += 2
      default: position += 1
      }
    }
    position = bytes.count
    throw problem("a text in quotes has no end")
  }

  private mutating func string() throws(Problem) -> String {
    let start = position + 1
    try skipString()
    let raw = bytes[start..<position - 1]
    guard raw.contains(UInt8(ascii: "\\")) else { return String(decoding: raw, as: UTF8.self) }
    var units: [UInt8] = []
    var index = raw.startIndex
    while index < raw.endIndex {
      guard raw[index] == UInt8(ascii: "\\") else {
        units.append(raw[index])
        index += 1
        continue
      }
      guard index + 1 < raw.endIndex else { throw problem("a backslash with nothing after it") }
      switch raw[index + 1] {
      case UInt8(ascii: "n"): units.append(0x0A)
      case UInt8(ascii: "t"): units.append(0x09)
      case UInt8(ascii: "r"): units.append(0x0D)
      case UInt8(ascii: "b"): units.append(0x08)
      case UInt8(ascii: "f"): units.append(0x0C)
      case UInt8(ascii: "u"):
        index += 2
        units += Array(String(try scalar(raw, &index)).utf8)
        continue
      case let other: units.append(other)
      }
      index += 2
    }
    return String(decoding: units, as: UTF8.self)
  }

  /// Four hexadecimal digits, or twice four with `\u` between of a surrogate pair; half a pair becomes U+FFFD.
  private func scalar(_ raw: ArraySlice<UInt8>, _ index: inout Int) throws(Problem) -> Unicode.Scalar {
    func unit(at index: Int) -> UInt32? {
      guard index + 4 <= raw.endIndex else { return nil }
      return UInt32(String(decoding: raw[index..<index + 4], as: UTF8.self), radix: 16)
    }
    guard let first = unit(at: index) else { throw problem("\\u needs four hexadecimal digits") }
    index += 4
    if (0xD800..<0xDC00).contains(first), index + 1 < raw.endIndex, raw[index] == UInt8(ascii: "\\"),
      raw[index + 1] == UInt8(ascii: "u"), let second = unit(at: index + 2), (0xDC00..<0xE000).contains(second)
    {
      index += 6
      return Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00)) ?? "\u{FFFD}"
    }
    return Unicode.Scalar(first) ?? "\u{FFFD}"
  }
}
