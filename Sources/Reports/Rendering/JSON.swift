internal import FlowStore

/// `{"report":...,"title":...,"parameters":{...},"coverage":...,"columns":[...],"rows":[{...}],"others":...,"notes":[...]}`
///
/// Numbers are numbers, missing is null, times are ISO 8601 in UTC.
struct JSONDocument: Renderer {
  private let sink: TextSink
  private var columns: [Query.Column] = []
  private var isFirst = true

  init(sink: @escaping TextSink) { self.sink = sink }

  mutating func begin(_ heading: Heading) throws {
    columns = heading.columns
    let parameters = heading.parameters.map { "\(JSON.string($0.name)):\(JSON.string($0.value))" }
    let descriptions = columns.map {
      "    {\"name\":\(JSON.string($0.name)),\"kind\":\(JSON.string($0.kind.rawValue)),\"text\":\(JSON.string($0.text))}"
    }
    try sink(
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
      """)
  }

  mutating func row(_ values: [Value]) throws {
    try sink((isFirst ? "\n    " : ",\n    ") + JSON.object(columns, values))
    isFirst = false
  }

  mutating func end(_ footing: Footing) throws {
    let others = footing.others.map { "{\"rows\":\($0.rows),\"sums\":\(JSON.object(columns, $0.values))}" }
    try sink(
      """

        ],
        "others": \(others ?? "null"),
        "notes": [\(footing.notes.map(JSON.string).joined(separator: ","))]
      }

      """)
  }
}

/// One object per row and line; nothing else, so that lines can be counted.
struct NDJSON: Renderer {
  private let sink: TextSink
  private var keys: [(text: String, kind: Query.Kind)] = []

  init(sink: @escaping TextSink) { self.sink = sink }

  mutating func begin(_ heading: Heading) throws {
    keys = heading.columns.map { (JSON.string($0.name) + ":", $0.kind) }
  }

  mutating func row(_ values: [Value]) throws {
    var line = "{"
    for (index, (key, value)) in zip(keys, values).enumerated() {
      if index > 0 { line += "," }
      line += key.text
      line += JSON.value(value, key.kind)
    }
    try sink(line + "}\n")
  }

  mutating func end(_ footing: Footing) throws {}
}

/// JSON text (RFC 8259) that is also safe to print on a terminal: what `TerminalText` shows as a code stands as `\u....`.
public enum JSON {
  public static func string(_ text: String) -> String {
    // Nearly all texts of a log are plain.
    if text.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F && $0 != 0x22 && $0 != 0x5C }) { return "\"\(text)\"" }
    var json = "\""
    json.reserveCapacity(text.utf8.count + 2)
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
    return json + "\""
  }

  static func value(_ value: Value, _ kind: Query.Kind) -> String {
    switch value {
    case .null: "null"
    case .integer(let number): kind.isTime ? "\"\(Quantities.iso(number))\"" : String(number)
    // JSON has no infinity and no NaN.
    case .real(let number): number.isFinite ? plainReal(number) : "null"
    case .text(let text): string(text)
    case .blob: string(value.plain(kind) ?? "")
    }
  }

  static func object(_ columns: [Query.Column], _ values: [Value]) -> String {
    "{" + zip(columns, values).map { "\(string($0.name)):\(value($1, $0.kind))" }.joined(separator: ",") + "}"
  }
}
