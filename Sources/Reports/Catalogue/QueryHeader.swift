/// Reads the header of a query file; every complaint names file and line.
struct QueryHeader {
  private let file: String
  private var query: Query
  private var declaredAt: [String: Int] = [:]

  private static let directives = ["title", "about", "parameter", "column", "function", "rows", "table"]

  /// - Parameter file: as messages name it; the query's name is in it.
  static func parse(_ sql: String, file: String) throws(ReportError) -> Query {
    var header = QueryHeader(file: file, query: Query(name: name(of: file), file: file, sql: sql))
    try header.read()
    return header.query
  }

  /// The last component without `.sql`.
  static func name(of file: String) -> String {
    let base = file.split(separator: "/").last.map(String.init) ?? file
    return base.hasSuffix(".sql") ? String(base.dropLast(4)) : base
  }

  private init(file: String, query: Query) {
    self.file = file
    self.query = query
  }

  private mutating func read() throws(ReportError) {
    var directive: (name: String, text: String, line: Int)?
    var line = 0
    var rest = query.sql[...]
    while rest.hasPrefix("--") {
      let end = rest.utf8.firstIndex(of: UInt8(ascii: "\n")) ?? rest.endIndex
      let text = rest[..<end]
      rest = end < rest.endIndex ? rest[rest.utf8.index(after: end)...] : ""
      line += 1
      let body = text.dropFirst(2)
      // An indented comment goes on with the directive above it.
      if body.hasPrefix("   "), let open = directive {
        directive = (open.name, open.text + " " + trimmed(body), open.line)
        continue
      }
      if let open = directive { try take(open.name, open.text, line: open.line) }
      directive = nil
      guard let colon = body.firstIndex(of: ":") else { continue }
      let word = trimmed(body[..<colon])
      // A sentence with a colon is a comment; a word in front of one is meant as a directive.
      guard !word.isEmpty, !word.contains(" ") else { continue }
      directive = (word, trimmed(body[body.index(after: colon)...]), line)
    }
    if let open = directive { try take(open.name, open.text, line: open.line) }
    guard !query.title.isEmpty else {
      throw ReportError(file: file, line: 1, "no title", help: "open the file with: -- title: WHAT IT ANSWERS")
    }
    for name in query.tableColumns where !query.columns.contains(where: { $0.name == name }) {
      throw ReportError(
        file: file, line: declaredAt["-- table"], "table column \(name) is not declared",
        help: nearMiss(name, in: query.columns.map(\.name)).map { "did you mean \"\($0)\"?" }
          ?? "add: -- column: \(name) KIND TEXT")
    }
    try compareParameters()
  }

  private mutating func take(_ directive: String, _ text: String, line: Int) throws(ReportError) {
    guard !text.isEmpty else { throw ReportError(file: file, line: line, "nothing behind \"-- \(directive):\"") }
    switch directive {
    case "title":
      guard query.title.isEmpty else { throw ReportError(file: file, line: line, "a second title") }
      query.title = text
    case "about":
      query.about += query.about.isEmpty ? text : " " + text
    case "parameter":
      let (name, rest) = firstWord(text)
      try declare(":" + name, line: line)
      query.parameters.append(.init(name: name, text: rest, line: line))
    case "column":
      let (name, rest) = firstWord(text)
      let (word, about) = firstWord(rest)
      guard let kind = Query.Kind(rawValue: word) else {
        let kinds = Query.Kind.allCases.map(\.rawValue)
        throw ReportError(
          file: file, line: line, "column \(name) has no kind \"\(word)\"",
          help: nearMiss(word, in: kinds).map { "did you mean \"\($0)\"?" }
            ?? "write: -- column: \(name) KIND TEXT, with one of \(kinds.joined(separator: ", "))")
      }
      try declare(name, line: line)
      query.columns.append(.init(name: name, kind: kind, text: about))
    case "function":
      for name in text.split(whereSeparator: { $0 == "," || $0 == " " }) { query.functions.append(String(name)) }
    case "table":
      try declare("-- table", line: line)
      query.tableColumns = text.split(whereSeparator: { $0 == "," || $0 == " " }).map(String.init)
    case "rows":
      guard text == "all" else {
        throw ReportError(file: file, line: line, "rows \"\(text)\" is not known", help: "write: -- rows: all")
      }
      query.showsAllRows = true
    default:
      let near = nearMiss(directive, in: QueryHeader.directives).map { "did you mean \"\($0)\"?" }
      throw ReportError(
        file: file, line: line, "unknown header \"\(directive)\"",
        help: near ?? "known are \(QueryHeader.directives.joined(separator: ", "))")
    }
  }

  private mutating func declare(_ name: String, line: Int) throws(ReportError) {
    if let earlier = declaredAt[name] {
      throw ReportError(file: file, line: line, "\(name) is declared a second time; the first time in line \(earlier)")
    }
    declaredAt[name] = line
  }

  private func compareParameters() throws(ReportError) {
    let used = try SQLParameters.used(in: query.sql, file: file)
    for parameter in used where !query.takes(parameter.name) {
      let near = nearMiss(parameter.name, in: query.parameters.map(\.name)).map { "did you mean :\($0)?" }
      throw ReportError(
        file: file, line: parameter.line, "parameter :\(parameter.name) is used but not declared",
        help: near ?? "add: -- parameter: \(parameter.name) WHAT IT LIMITS")
    }
    for parameter in query.parameters where !used.contains(where: { $0.name == parameter.name }) {
      throw ReportError(
        file: file, line: parameter.line, "parameter :\(parameter.name) is declared but not used",
        help: "remove the line, or use :\(parameter.name) in the query")
    }
  }
}

private func trimmed(_ text: Substring) -> String {
  var text = text
  while let first = text.first, first.isWhitespace { text.removeFirst() }
  while let last = text.last, last.isWhitespace { text.removeLast() }
  return String(text)
}

/// The text up to the first white space, and the rest.
private func firstWord(_ text: String) -> (word: String, rest: String) {
  let word = text.prefix { !$0.isWhitespace }
  return (String(word), trimmed(text[word.endIndex...]))
}
