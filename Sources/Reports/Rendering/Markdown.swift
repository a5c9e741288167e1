internal import FlowStore

/// A table in GitHub's Markdown, under its title. Nothing that a log brought becomes markup or a link.
struct Markdown: Renderer {
  private let sink: TextSink
  private var columns: [Query.Column] = []
  private var line = OutputText()

  init(sink: @escaping TextSink) { self.sink = sink }

  mutating func begin(_ heading: Heading) throws {
    columns = heading.columns
    var text = ""
    if !heading.title.isEmpty { text += "## \(Markdown.escaped(heading.title))\n\n" }
    if !heading.parameters.isEmpty {
      text += heading.parameters.map { "\($0.name) \(Markdown.escaped($0.value))" }.joined(separator: ", ") + "\n\n"
    }
    if let coverage = heading.coverage { text += Markdown.escaped(coverage) + "\n\n" }
    text += "| " + columns.map { Markdown.escaped($0.name) }.joined(separator: " | ") + " |\n"
    text += "|" + columns.map { $0.kind.isRightAligned ? "---:|" : "---|" }.joined() + "\n"
    try sink(OutputText(text))
  }

  mutating func row(_ values: [Value]) throws {
    line.removeAll()
    for column in columns.indices {
      line.append(column == 0 ? "| " : " | ")
      line.append(plain: values[column], columns[column].kind) { $0.append(markdown: $1) }
    }
    line.append(columns.isEmpty ? "|  |\n" : " |\n")
    try sink(line)
  }

  mutating func end(_ footing: Footing) throws {
    if let others = footing.others { try row(others.labelled(columns.map(\.kind))) }
    guard !footing.notes.isEmpty else { return }
    try sink(OutputText("\n" + footing.notes.map { "- \(Markdown.escaped($0))\n" }.joined()))
  }

  static func escaped(_ text: String) -> String {
    var markdown = OutputText()
    markdown.append(markdown: text)
    return markdown.string
  }
}

extension OutputText {
  /// Backslashes before everything that could open markup, also before the dots and colons that make bare addresses links.
  mutating func append(markdown text: String) {
    var safe = TerminalText.safe(text)
    safe.withUTF8 { bytes in
      for (place, byte) in bytes.enumerated() {
        let opens =
          switch byte {
          case UInt8(ascii: "\\"), UInt8(ascii: "|"), UInt8(ascii: "`"), UInt8(ascii: "*"), UInt8(ascii: "_"),
            UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "["), UInt8(ascii: "]"), UInt8(ascii: "&"),
            UInt8(ascii: "~"), UInt8(ascii: "#"), UInt8(ascii: "!"), UInt8(ascii: "$"):
            true
          case UInt8(ascii: ":"): bytes[(place + 1)...].starts(with: [UInt8(ascii: "/"), UInt8(ascii: "/")])
          case UInt8(ascii: "."): bytes[..<place].suffix(3).elementsEqual("www".utf8)
          default: false
          }
        if opens { append(UInt8(ascii: "\\")) }
        append(byte)
      }
    }
  }
}
