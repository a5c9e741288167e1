/// How nginx writes values into a log: the `escape` parameter of `log_format`.
public enum NginxEscape: String, Sendable, Hashable, CaseIterable {
  case `default`
  case json
  case none
}

extension FormatPlan {
  /// Compiles the format of an nginx `log_format` (`$remote_addr`, `${status}`).
  ///
  /// `http` is nil when nobody said whether the format stands in `http {}` or in `stream {}`; the variables tell then.
  /// Variables that are not nginx's own are legal (`map`, `set`, modules): they are read over and listed in `notUnderstood`.
  public static func nginx(
    _ format: String, escape: NginxEscape = .default, http: Bool? = nil, name: String = "custom", about: String = ""
  ) throws(FormatError) -> FormatPlan {
    var compiler = NginxCompiler(text: FormatText(format).withoutLineEnd, escape: escape)
    let pieces = try compiler.pieces()
    let isHTTP = http ?? (compiler.httpVariables > compiler.streamVariables)
    var plan = FormatPlan(
      name: name, about: about, dialect: isHTTP ? .nginxHTTP : .nginxStream, source: format, body: .text(pieces))
    plan.notUnderstood = compiler.notUnderstood
    return plan
  }

  /// The variable of nginx's own that one of `notUnderstood` was perhaps meant to be: `$status` for `$stauts`.
  public static func suggestion(forNotUnderstood variable: String) -> String? {
    nearMiss(of: variable.filter { !"${}".contains($0) }, in: NginxVariable.knownNames).map { "$\($0)" }
  }
}

/// One walk over a string with variables: `$name` or `${name}`.
private struct NginxCompiler {
  private let text: FormatText
  private let escape: NginxEscape
  private var builder: PieceBuilder
  private var index = 0
  private(set) var httpVariables = 0
  private(set) var streamVariables = 0
  private(set) var notUnderstood: [String] = []

  init(text: FormatText, escape: NginxEscape) {
    self.text = text
    self.escape = escape
    builder = PieceBuilder(text)
  }

  mutating func pieces() throws(FormatError) -> [FormatPiece] {
    while index < text.bytes.count { try step() }
    return try builder.finish()
  }

  private mutating func step() throws(FormatError) {
    let start = index
    guard text.bytes[start] == ASCII.dollar else {
      let end = text.firstIndex(of: ASCII.dollar, from: start) ?? text.bytes.count
      builder.append(literal: text.bytes[start..<end])
      index = end
      return
    }
    var nameStart = start + 1
    let isBraced = nameStart < text.bytes.count && text.bytes[nameStart] == UInt8(ascii: "{")
    if isBraced { nameStart += 1 }
    let nameEnd = text.endOfRun(from: nameStart, where: ASCII.isName)
    index = nameEnd
    guard nameEnd > nameStart else {
      throw text.error(
        start..<min(nameEnd + 1, text.bytes.count), "no variable name after $",
        help: "write $name or ${name}; nginx has no way to log a dollar sign of its own")
    }
    if isBraced {
      guard index < text.bytes.count, text.bytes[index] == UInt8(ascii: "}") else {
        throw text.error(
          start..<index, "the closing bracket of \(text.string(start..<index)) is missing",
          help: "write \(text.string(start..<index))}")
      }
      index += 1
    }
    try append(text.string(nameStart..<nameEnd), range: start..<index)
  }

  private mutating func append(_ name: String, range: Range<Int>) throws(FormatError) {
    // nginx takes names without regard to case.
    let variable = NginxVariable.named(name.lowercased())
    if variable == nil, !notUnderstood.contains(text.string(range)) { notUnderstood.append(text.string(range)) }
    switch variable?.module {
    case .http: httpVariables += 1
    case .stream: streamVariables += 1
    case .both, nil: break
    }
    let known = variable ?? NginxVariable(syntax: .text)
    var field = FormatField(
      role: known.role, name: text.string(range), syntax: known.syntax, escaping: escaping, unit: known.unit,
      time: known.time)
    // A missing value is `-` with the default escape and nothing at all with the others. A value that is there and empty
    // (an SNI that was not sent, a map's default) is nothing with any of them.
    switch known.role {
    case .endTime, .status, .duration, .bytesSent, .bytesReceived, .downstreamRemoteIP: break
    default: field.mayBeEmpty = escape != .default || known.syntax == .text || known.syntax == .list
    }
    if known.role == .path, let host = builder.removeTail(literal: "", where: { $0.role == .authority }) {
      try appendURL(path: field, host: host, range: range)
    } else {
      try builder.append(field, range: range)
    }
  }

  /// `$scheme://$host$request_uri` is one value: nothing separates the host from the path, and nothing needs to.
  private mutating func appendURL(path: FormatField, host: FormatField, range: Range<Int>) throws(FormatError) {
    var url = path
    url.role = .url
    if let scheme = builder.removeTail(literal: "://", where: { $0.role == .scheme }) {
      url.name = "\(scheme.name)://\(host.name)\(path.name)"
    } else if builder.removeLiteral(suffix: "http://") {
      url.name = "http://\(host.name)\(path.name)"
    } else if builder.removeLiteral(suffix: "https://") {
      url.name = "https://\(host.name)\(path.name)"
    } else {
      throw text.error(
        range, "\(host.name) and \(path.name) touch: nothing in a line tells where one ends and the other begins",
        help: "put a space between them, or write $scheme://\(host.name)\(path.name)")
    }
    url.mayBeEmpty = false
    try builder.append(url, range: range)
  }

  private var escaping: FormatField.Escaping {
    switch escape {
    case .default: .nginx
    case .json: .json
    case .none: .raw
    }
  }
}
