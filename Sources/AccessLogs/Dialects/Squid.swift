extension FormatPlan {
  /// Compiles a Squid `logformat` (`%ts.%03tu %6tr %>a ...`).
  public static func squid(
    _ format: String, name: String = "custom", about: String = ""
  ) throws(FormatError) -> FormatPlan {
    try squid(format, name: name, about: about, isBuiltIntoSquid: false)
  }

  /// `isBuiltIntoSquid`: one of the formats that Squid prints with code of its own instead of its format strings
  /// (squid `src/log/FormatSquidNative.cc`, `FormatHttpdCombined.cc`, ...). Headers come out raw there; user names,
  /// which whoever authenticates can choose, keep their spaces in either case.
  static func squid(
    _ format: String, name: String, about: String, isBuiltIntoSquid: Bool
  ) throws(FormatError) -> FormatPlan {
    var compiler = SquidCompiler(text: FormatText(format).withoutLineEnd, isBuiltIntoSquid: isBuiltIntoSquid)
    return FormatPlan(
      name: name, about: about, dialect: .squid, source: format, body: .text(try compiler.pieces()))
  }
}

/// One walk over a string of codes: `% [encoding] [-] [[0]width[.max]] [{arg}] code [{arg}]`.
private struct SquidCompiler {
  /// What the literal text before a code opened: it decides the escaping of codes that do not name one.
  private enum Context { case bare, quotes, brackets }

  private struct Directive {
    var encoding: UInt8?
    var isLeftAligned = false
    var isZeroPadded = false
    var width: Int?
    var maxWidth: Int?
    var argument: Range<Int>?
  }

  private let text: FormatText
  private let isBuiltIntoSquid: Bool
  private var builder: PieceBuilder
  private var index = 0
  private var context = Context.bare

  init(text: FormatText, isBuiltIntoSquid: Bool) {
    self.text = text
    self.isBuiltIntoSquid = isBuiltIntoSquid
    builder = PieceBuilder(text)
  }

  mutating func pieces() throws(FormatError) -> [FormatPiece] {
    while index < text.bytes.count {
      if text.bytes[index] == ASCII.percent { try takeDirective() } else { takeLiteral() }
    }
    return try builder.finish()
  }

  private mutating func takeLiteral() {
    let byte = text.bytes[index]
    switch (byte, context) {
    case (ASCII.quote, .bare): context = .quotes
    case (ASCII.quote, .quotes): context = .bare
    case (UInt8(ascii: "["), .bare): context = .brackets
    case (UInt8(ascii: "]"), .brackets): context = .bare
    default: break
    }
    builder.append(literal: [byte])
    index += 1
  }

  private mutating func takeDirective() throws(FormatError) {
    let start = index
    index += 1
    var directive = Directive()
    if let byte = peek, "\"'[#/".utf8.contains(byte) {
      directive.encoding = byte
      index += 1
    }
    if peek == UInt8(ascii: "-") {
      directive.isLeftAligned = true
      index += 1
    }
    if peek == UInt8(ascii: "0") {
      directive.isZeroPadded = true
      index += 1
    }
    directive.width = takeNumber()
    if peek == UInt8(ascii: ".") {
      let dot = index
      index += 1
      directive.maxWidth = takeNumber()
      guard directive.maxWidth != nil else {
        throw text.error(
          dot..<min(index + 1, text.bytes.count), "no width after the dot", help: "write %width.max, such as %10.64ru")
      }
    }
    directive.argument = try takeArgument(start: start)
    guard index < text.bytes.count else {
      throw text.error(start..<index, "the format ends after %", help: "write %% for a percent sign")
    }
    if peek == ASCII.percent {
      index += 1
      builder.append(literal: [ASCII.percent])
      return
    }
    let (name, code) = try takeCode(start: start)
    let trailing = index
    if directive.argument == nil {
      directive.argument = try takeArgument(start: start)
    } else if peek == UInt8(ascii: "{") {
      throw text.error(
        trailing..<trailing + 1, "%\(name) has an argument already",
        help: "give one argument, before the code or after it")
    }
    let range = start..<index
    guard let code else { return try appendByte(directive, range: range) }
    // `HTTP/%rv` is how Squid spells what others call the protocol.
    if ["rv", ">rv", "<rv"].contains(name), builder.removeLiteral(suffix: "HTTP/") {
      try builder.append(
        FormatField(role: .protocol, name: "HTTP/" + text.string(range), syntax: .protocol), range: range)
      return
    }
    // `%ts%03tu` is milliseconds since 1970 in one number.
    if name == "tu", directive.isZeroPadded, directive.width == 3,
      var time = builder.removeTail(literal: "", where: { $0.time == .epochSeconds })
    {
      time.name += text.string(range)
      time.time = TimeFormat(parts: [.epochMilliseconds])
      return try builder.append(time, range: range)
    }
    try builder.append(try field(code, name: name, directive, range: range), range: range)
  }

  private var peek: UInt8? { index < text.bytes.count ? text.bytes[index] : nil }

  private mutating func takeNumber() -> Int? {
    let end = text.endOfRun(from: index, where: ASCII.isDigit)
    defer { index = end }
    // Widths beyond this are nothing that Squid prints into a line of 8 KB.
    return Int(text.string(index..<end)).map { min($0, 8192) }
  }

  private mutating func takeArgument(start: Int) throws(FormatError) -> Range<Int>? {
    guard peek == UInt8(ascii: "{") else { return nil }
    let open = index
    guard let close = text.firstIndex(of: UInt8(ascii: "}"), from: open) else {
      throw text.error(
        start..<text.bytes.count, "the argument has no end: no } for this {", help: "write %{argument}code")
    }
    index = close + 1
    return open + 1..<close
  }

  /// The longest known code that the text goes on with; nil for `byte`, which is a literal.
  private mutating func takeCode(start: Int) throws(FormatError) -> (name: String, code: SquidCode?) {
    let rest = text.bytes[index...]
    if rest.starts(with: "byte".utf8) {
      index += 4
      return ("byte", nil)
    }
    var table = SquidCode.http
    var prefix = ""
    for (name, codes) in SquidCode.prefixed
    where rest.starts(with: name.utf8) && rest.dropFirst(name.utf8.count).starts(with: "::".utf8) {
      prefix = "\(name)::"
      table = codes
    }
    let tail = rest.dropFirst(prefix.utf8.count)
    var best = ""
    for name in table.keys
    where name.utf8.first == tail.first && name.utf8.count > best.utf8.count && tail.starts(with: name.utf8) {
      best = name
    }
    if let code = table[best] {
      index += prefix.utf8.count + best.utf8.count
      return (prefix == "http::" ? best : prefix + best, code)
    }
    let end = max(
      text.endOfRun(from: index) { ASCII.isName($0) || "<>:".utf8.contains($0) }, min(index + 1, text.bytes.count))
    let written = text.string(index..<end)
    let help =
      nearMiss(of: written, in: SquidCode.allNames).map { "did you mean %\($0)?" }
      ?? "the codes are listed at the directive logformat in Squid's documentation; %% is a percent sign"
    throw text.error(start..<end, "unknown format code %\(written)", help: help)
  }

  private mutating func appendByte(_ directive: Directive, range: Range<Int>) throws(FormatError) {
    guard let argument = directive.argument, let byte = Self.byteValue(text.string(argument)), byte != 0 else {
      throw text.error(range, "%byte needs the number of a byte", help: "write %byte{N} with N from 1 to 255, or 0x1F")
    }
    builder.append(literal: [byte])
  }

  private static func byteValue(_ text: String) -> UInt8? {
    text.hasPrefix("0x") || text.hasPrefix("0X") ? UInt8(text.dropFirst(2), radix: 16) : UInt8(text)
  }

  // MARK: - Fields

  private func field(
    _ code: SquidCode, name: String, _ directive: Directive, range: Range<Int>
  ) throws(FormatError) -> FormatField {
    var field = FormatField(role: code.role, name: text.string(range), syntax: code.syntax, unit: code.unit)
    setEscaping(&field, code, name: name, directive)
    let hasWidth = (directive.width ?? 0) > 1 && !directive.isZeroPadded
    field.padded = hasWidth && !directive.isLeftAligned
    field.paddedAtEnd = hasWidth && directive.isLeftAligned
    if code.syntax == .token || code.syntax == .text { field.maxLength = directive.maxWidth }
    switch name {
    case "ts": field.time = .epochSeconds
    case "tS": field.time = .epoch(fraction: min(directive.maxWidth ?? 3, 9))
    case ">Hs", "Hs":
      if directive.isZeroPadded, directive.width == 3 { field.syntax = .status }
    default: break
    }
    let value = directive.argument.map { text.string($0) } ?? ""
    switch code.argument {
    case .none:
      if let argument = directive.argument {
        throw text.error(
          argument.lowerBound - 1..<argument.upperBound + 1, "%\(name) takes no argument", help: "write %\(name)")
      }
    case .required:
      if value.isEmpty {
        throw text.error(range, "%\(name) needs an argument", help: "write %{argument}\(name)")
      }
    case .optional: break
    case .header: setHeader(&field, value, isRequest: name.hasPrefix(">"))
    case .time:
      field.time = .commonLog
      if let argument = directive.argument, !argument.isEmpty {
        field.time = try .strftime(text, argument, isUTC: name == "tg")
      }
    }
    return field
  }

  /// The escaping that the format names, or that the quotes or brackets around the code call for, or the code's own.
  private func setEscaping(_ field: inout FormatField, _ code: SquidCode, name: String, _ directive: Directive) {
    guard code.isForeign || code.syntax == .token else { return }
    switch (directive.encoding, context) {
    case (UInt8(ascii: "\"")?, _), (nil, .quotes): field.escaping = .backslash
    case (UInt8(ascii: "[")?, _), (UInt8(ascii: "#")?, _), (nil, .brackets): field.escaping = .percent
    case (UInt8(ascii: "/")?, _): field.escaping = .shell
    case (nil, .bare):
      // Control bytes, spaces and the like are encoded and percent signs are not: of a URL, whose own encoding stays, that
      // cannot be undone; of other texts it nearly can.
      field.escaping = code.isForeign && code.role != .url && code.role != .path ? .percent : .raw
    default: field.escaping = .raw
    }
    guard code.isForeign else { return }
    // Only `#`, and `(nil, .bare)` which is like it, encode spaces.
    let keepsSpaces = directive.encoding.map { $0 != UInt8(ascii: "#") } ?? (context != .bare)
    if isBuiltIntoSquid, directive.encoding == nil, context != .brackets {
      field.escaping = .raw
      // White space is taken out of URLs; headers may hold anything.
      if code.argument == .header { field.syntax = .text }
    } else if keepsSpaces {
      field.syntax = .text
    }
    // Two names stand side by side in `common`: one of them has to end somewhere, and ident's is hardly ever there.
    if isBuiltIntoSquid, name == "ui" { field.syntax = .token }
  }

  /// `Name` or `Name:element`; without an argument it is the whole header block.
  private func setHeader(_ field: inout FormatField, _ argument: String, isRequest: Bool) {
    if argument.isEmpty {
      field.syntax = .text
      field.mayBeEmpty = true
    }
    guard isRequest else { return }
    switch argument.lowercased() {
    case "user-agent": field.role = .userAgent
    case "referer": field.role = .referer
    case "x-forwarded-for": field.role = .forwardedFor
    case "host": field.role = .authority
    case "x-request-id": field.role = .requestID
    default: break
    }
  }
}
