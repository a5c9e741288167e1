/// The format strings inside the configuration file of a proxy.
///
/// Errors carry the whole file as their text, so that they point at line and column of it.
public enum FormatFile {
  /// One `log_format` of an nginx.conf.
  public struct NginxDefinition: Sendable, Hashable {
    public var name: String
    /// The strings of the directive joined.
    public var format: String
    public var escape: NginxEscape
    /// Whether it stands in `http {}` or in `stream {}`; nil when in neither (an included file).
    public var isHTTP: Bool?
    /// 1-based line of the directive.
    public var line: Int
  }

  /// One `logformat` of a squid.conf.
  public struct SquidDefinition: Sendable, Hashable {
    public var name: String
    public var format: String
    /// 1-based line of the directive.
    public var line: Int
  }

  /// Every `log_format NAME [escape=...] 'a' "b" c;` of an nginx.conf, in the order of the file.
  public static func nginxConf(_ text: String) throws(FormatError) -> [NginxDefinition] {
    var reader = NginxConfReader(text)
    return try reader.definitions()
  }

  /// Every `logformat NAME ...` of a squid.conf, in the order of the file; a line may go on after a `\` at its end.
  public static func squidConf(_ text: String) throws(FormatError) -> [SquidDefinition] {
    var reader = SquidConfReader(text)
    return try reader.definitions()
  }
}

/// Reads a squid.conf as Squid does (squid `src/cache_cf.cc`): a line that continues another loses the blanks it begins with,
/// and comments and empty lines between the two are passed over.
private struct SquidConfReader {
  private let source: String
  private let bytes: [UInt8]
  private var index = 0
  private var line = 0

  init(_ source: String) {
    self.source = source
    bytes = Array(source.utf8)
  }

  mutating func definitions() throws(FormatError) -> [FormatFile.SquidDefinition] {
    var found: [FormatFile.SquidDefinition] = []
    while let (content, start, firstLine) = nextLogicalLine() {
      let words = content.split(maxSplits: 2, omittingEmptySubsequences: true) { ASCII.isBlank($0) }
      guard let directive = words.first, directive.elementsEqual("logformat".utf8) else { continue }
      guard words.count == 3 else {
        throw FormatError(
          format: source, range: start..<min(start + content.count, bytes.count),
          message: "logformat without \(words.count == 1 ? "a name" : "a format")", help: "write logformat NAME FORMAT")
      }
      let format = unquoted(words[2].drop { ASCII.isBlank($0) })
      found.append(
        FormatFile.SquidDefinition(
          name: String(decoding: words[1], as: UTF8.self), format: String(decoding: format, as: UTF8.self),
          line: firstLine))
    }
    return found
  }

  /// A line with what continues it, where it begins, and its number; nil at the end of the file.
  private mutating func nextLogicalLine() -> (content: [UInt8], start: Int, line: Int)? {
    var content: [UInt8] = []
    var start = index
    var firstLine = 0
    while index < bytes.count {
      let begin = index
      let end = bytes[begin...].firstIndex(of: ASCII.newline) ?? bytes.count
      index = min(end + 1, bytes.count)
      line += 1
      var piece = bytes[begin..<end]
      if piece.last == ASCII.carriageReturn { piece.removeLast() }
      guard let first = piece.first, first != UInt8(ascii: "#") else { continue }
      if firstLine == 0 {
        start = begin
        firstLine = line
      } else {
        piece = piece.drop { ASCII.isBlank($0) }
      }
      content.append(contentsOf: piece)
      guard content.last == ASCII.backslash else { break }
      content.removeLast()
    }
    guard firstLine > 0 else { return nil }
    while let last = content.last, ASCII.isBlank(last) { content.removeLast() }
    return (content, start, firstLine)
  }

  /// A format may stand in quotes as a whole (Squid 3.4 and later); a format that merely begins with one does not.
  private func unquoted(_ format: ArraySlice<UInt8>) -> [UInt8] {
    guard let quote = format.first, quote == ASCII.quote || quote == UInt8(ascii: "'") else { return Array(format) }
    var content: [UInt8] = []
    var rest = format.dropFirst()
    while let byte = rest.popFirst() {
      if byte == quote { return rest.isEmpty ? content : Array(format) }
      guard byte == ASCII.backslash, let escaped = rest.popFirst() else {
        content.append(byte)
        continue
      }
      switch escaped {
      case UInt8(ascii: "n"): content.append(ASCII.newline)
      case UInt8(ascii: "r"): content.append(ASCII.carriageReturn)
      case UInt8(ascii: "t"): content.append(ASCII.tab)
      default: content.append(escaped)
      }
    }
    return Array(format)
  }
}

/// Reads an nginx.conf as nginx does (nginx `src/core/ngx_conf_file.c`): words, quoted words, comments, blocks.
private struct NginxConfReader {
  private struct Word {
    var text: String
    var range: Range<Int>
  }
  private enum Token {
    case word(Word)
    case end, open, close
  }

  private let source: String
  private let bytes: [UInt8]
  private var index = 0

  init(_ source: String) {
    self.source = source
    bytes = Array(source.utf8)
  }

  mutating func definitions() throws(FormatError) -> [FormatFile.NginxDefinition] {
    var found: [FormatFile.NginxDefinition] = []
    var blocks: [String] = []
    var directive: [Word] = []
    while let token = try next() {
      switch token {
      case .word(let word): directive.append(word)
      case .open where directive.first?.text.hasSuffix("_by_lua_block") ?? false:
        skipLuaBlock()
        directive = []
      case .open:
        blocks.append(directive.first?.text ?? "")
        directive = []
      case .close:
        _ = blocks.popLast()
        directive = []
      case .end:
        if directive.first?.text == "log_format" { found.append(try definition(directive, blocks: blocks)) }
        directive = []
      }
    }
    if let word = directive.first, word.text == "log_format" {
      throw error(
        word.range.lowerBound..<directive[directive.count - 1].range.upperBound, "the log_format has no end",
        "close it with ;")
    }
    return found
  }

  private func definition(_ words: [Word], blocks: [String]) throws(FormatError) -> FormatFile.NginxDefinition {
    let whole = words[0].range.lowerBound..<words[words.count - 1].range.upperBound
    guard words.count > 1 else { throw error(whole, "log_format without a name", "write log_format NAME 'FORMAT';") }
    var parts = words.dropFirst(2)
    var escape = NginxEscape.default
    if let first = parts.first, first.text.hasPrefix("escape=") {
      let value = String(first.text.dropFirst("escape=".count))
      guard let known = NginxEscape(rawValue: value) else {
        throw error(first.range, "unknown escape \"\(value)\"", "use escape=default, escape=json or escape=none")
      }
      escape = known
      parts = parts.dropFirst()
    }
    guard !parts.isEmpty else { throw error(whole, "log_format without a format", "write log_format NAME 'FORMAT';") }
    let line = bytes[..<whole.lowerBound].count { $0 == ASCII.newline } + 1
    let module = blocks.last { $0 == "http" || $0 == "stream" }
    return FormatFile.NginxDefinition(
      name: words[1].text, format: parts.map(\.text).joined(), escape: escape, isHTTP: module.map { $0 == "http" },
      line: line)
  }

  private mutating func next() throws(FormatError) -> Token? {
    while index < bytes.count {
      switch bytes[index] {
      case ASCII.space, ASCII.tab, ASCII.newline, ASCII.carriageReturn: index += 1
      case UInt8(ascii: "#"): index = bytes[index...].firstIndex(of: ASCII.newline) ?? bytes.count
      case UInt8(ascii: ";"):
        index += 1
        return .end
      case UInt8(ascii: "{"):
        index += 1
        return .open
      case UInt8(ascii: "}"):
        index += 1
        return .close
      case ASCII.quote, UInt8(ascii: "'"): return .word(try quotedWord())
      default: return .word(bareWord())
      }
    }
    return nil
  }

  /// A block of Lua (OpenResty): its brackets are counted outside its strings and comments.
  private mutating func skipLuaBlock() {
    var depth = 1
    while index < bytes.count, depth > 0 {
      let byte = bytes[index]
      switch byte {
      case UInt8(ascii: "{"): depth += 1
      case UInt8(ascii: "}"): depth -= 1
      case ASCII.quote, UInt8(ascii: "'"):
        index += 1
        while index < bytes.count, bytes[index] != byte, bytes[index] != ASCII.newline {
          index += bytes[index] == ASCII.backslash ? 2 : 1
        }
      case UInt8(ascii: "-")
      where bytes[index...].starts(with: "--".utf8) && !bytes[index...].starts(with: "--[[".utf8):
        index = bytes[index...].firstIndex(of: ASCII.newline) ?? bytes.count
      case UInt8(ascii: "[") where bytes[index...].starts(with: "[[".utf8):
        while index < bytes.count, !bytes[index...].starts(with: "]]".utf8) { index += 1 }
      default: break
      }
      index = min(index + 1, bytes.count)
    }
  }

  private mutating func quotedWord() throws(FormatError) -> Word {
    let start = index
    let quote = bytes[start]
    var content: [UInt8] = []
    index += 1
    while index < bytes.count, bytes[index] != quote {
      if bytes[index] == ASCII.backslash, index + 1 < bytes.count {
        takeEscape(into: &content)
      } else {
        content.append(bytes[index])
        index += 1
      }
    }
    guard index < bytes.count else {
      throw error(start..<start + 1, "the quoted text has no end", "close it with \(Character(Unicode.Scalar(quote)))")
    }
    index += 1
    return Word(text: String(decoding: content, as: UTF8.self), range: start..<index)
  }

  private mutating func bareWord() -> Word {
    let start = index
    var content: [UInt8] = []
    while index < bytes.count, !ASCII.isBlank(bytes[index]) {
      let byte = bytes[index]
      if byte == UInt8(ascii: ";") { break }
      if byte == UInt8(ascii: "{"), content.last != ASCII.dollar { break }
      if byte == ASCII.backslash, index + 1 < bytes.count {
        takeEscape(into: &content)
      } else {
        content.append(byte)
        index += 1
      }
    }
    return Word(text: String(decoding: content, as: UTF8.self), range: start..<index)
  }

  /// nginx undoes `\"`, `\'`, `\\`, `\t`, `\r` and `\n`, and leaves any other backslash where it is.
  private mutating func takeEscape(into content: inout [UInt8]) {
    let escaped = bytes[index + 1]
    switch escaped {
    case ASCII.quote, UInt8(ascii: "'"), ASCII.backslash: content.append(escaped)
    case UInt8(ascii: "t"): content.append(ASCII.tab)
    case UInt8(ascii: "r"): content.append(ASCII.carriageReturn)
    case UInt8(ascii: "n"): content.append(ASCII.newline)
    default: content.append(contentsOf: [ASCII.backslash, escaped])
    }
    index += 2
  }

  private func error(_ range: Range<Int>, _ message: String, _ help: String) -> FormatError {
    FormatError(format: source, range: range, message: message, help: help)
  }
}
