internal import FlowStore

/// `{"report":...,"title":...,"parameters":{...},"coverage":...,"columns":[...],"rows":[{...}],"others":...,"notes":[...]}`
///
/// Numbers are numbers, missing is null, times are ISO 8601 in UTC.
struct JSONDocument: Renderer {
  private let sink: TextSink
  private var rows = JSONRows([])
  private var text = OutputText()
  private var isFirst = true

  init(sink: @escaping TextSink) { self.sink = sink }

  mutating func begin(_ heading: Heading) throws {
    rows = JSONRows(heading.columns)
    let parameters = heading.parameters.map { "\(JSON.string($0.name)):\(JSON.string($0.value))" }
    let descriptions = heading.columns.map {
      "    {\"name\":\(JSON.string($0.name)),\"kind\":\(JSON.string($0.kind.rawValue)),\"text\":\(JSON.string($0.text))}"
    }
    try sink(
      OutputText(
        """
        {
          "report": \(heading.name.isEmpty ? "null" : JSON.string(heading.name)),
          "title": \(JSON.string(heading.title)),
          "parameters": {\(parameters.joined(separator: ","))},
          "coverage": \(heading.coverage.map(JSON.string) ?? "null"),
          "columns": [
        \(descriptions.joined(separator: ",\n"))
          ],
          "rows": [
        """))
  }

  mutating func row(_ values: [Value]) throws {
    text.removeAll()
    text.append(isFirst ? "\n    " : ",\n    ")
    rows.write(values, to: &text)
    try sink(text)
    isFirst = false
  }

  mutating func end(_ footing: Footing) throws {
    text.removeAll()
    text.append("\n  ],\n  \"others\": ")
    if let others = footing.others {
      text.append("{\"rows\":\(others.rows),\"sums\":")
      rows.write(others.values, to: &text)
      text.append("}")
    } else {
      text.append("null")
    }
    text.append(",\n  \"notes\": [\(footing.notes.map(JSON.string).joined(separator: ","))]\n}\n")
    try sink(text)
  }
}

/// One object per row and line; nothing else, so that lines can be counted.
struct NDJSON: Renderer {
  private let sink: TextSink
  private var rows = JSONRows([])
  private var line = OutputText()

  init(sink: @escaping TextSink) { self.sink = sink }

  mutating func begin(_ heading: Heading) throws { rows = JSONRows(heading.columns) }

  mutating func row(_ values: [Value]) throws {
    line.removeAll()
    rows.write(values, to: &line)
    line.append(UInt8(ascii: "\n"))
    try sink(line)
  }

  mutating func end(_ footing: Footing) throws {}
}

/// Rows as objects, whose keys are written once.
private struct JSONRows {
  private let columns: [(key: [UInt8], kind: Query.Kind)]

  init(_ columns: [Query.Column]) {
    self.columns = columns.enumerated().map { index, column in
      (Array("\(index == 0 ? "{" : ",")\(JSON.string(column.name)):".utf8), column.kind)
    }
  }

  func write(_ values: [Value], to text: inout OutputText) {
    if columns.isEmpty { text.append(UInt8(ascii: "{")) }
    for index in columns.indices {
      text.append(columns[index].key)
      text.append(json: values[index], columns[index].kind)
    }
    text.append(UInt8(ascii: "}"))
  }
}

/// JSON text (RFC 8259) that is also safe to print on a terminal: what `TerminalText` shows as a code stands as `\u....`.
public enum JSON {
  public static func string(_ text: String) -> String {
    var json = OutputText()
    json.append(json: text)
    return json.string
  }

  static func value(_ value: Value, _ kind: Query.Kind) -> String {
    var json = OutputText()
    json.append(json: value, kind)
    return json.string
  }

  /// Nothing in it is escaped: most texts of a log.
  static func isPlain(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
    text.allSatisfy { $0 >= 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }
  }

  /// What stands for a text between its quotes, whatever is in it.
  static func escaped(_ text: String) -> String {
    var json = ""
    json.reserveCapacity(text.utf8.count)
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": json += "\\\""
      case "\\": json += "\\\\"
      case "\n": json += "\\n"
      case "\r": json += "\\r"
      case "\t": json += "\\t"
      case " "..."~": json.unicodeScalars.append(scalar)
      default:
        if TerminalText.isDangerous(scalar) {
          for unit in String(scalar).utf16 {
            let digits = String(unit, radix: 16)
            json += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
          }
        } else {
          json.unicodeScalars.append(scalar)
        }
      }
    }
    return json
  }
}

extension OutputText {
  /// With its quotes.
  mutating func append(json text: String) {
    append(UInt8(ascii: "\""))
    var text = text
    text.withUTF8 { JSON.isPlain($0) ? append($0) : append(JSON.escaped(String(decoding: $0, as: UTF8.self))) }
    append(UInt8(ascii: "\""))
  }

  mutating func append(json value: Value, _ kind: Query.Kind) {
    switch value {
    case .null: append("null")
    case .integer(let number):
      guard kind.isTime else { return append(number) }
      append(UInt8(ascii: "\""))
      append(iso: number)
      append(UInt8(ascii: "\""))
    // JSON has no infinity and no NaN.
    case .real(let number): number.isFinite ? append(plain: number) : append("null")
    case .text(let text): append(json: text)
    case .blob(let bytes):
      append(UInt8(ascii: "\""))
      append(hexadecimal: bytes)
      append(UInt8(ascii: "\""))
    }
  }
}
