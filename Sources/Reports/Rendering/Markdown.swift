internal import FlowStore

/// A table in GitHub's Markdown, under its title. Nothing that a log brought becomes markup or a link.
struct Markdown: Renderer {
  private let sink: TextSink
  private var columns: [Query.Column] = []

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
    try sink(text)
  }

  mutating func row(_ values: [Value]) throws {
    let cells = zip(columns, values).map { column, value in value.plain(column.kind).map(Markdown.escaped) ?? "" }
    try sink("| " + cells.joined(separator: " | ") + " |\n")
  }

  mutating func end(_ footing: Footing) throws {
    if let others = footing.others { try row(others.labelled(columns.map(\.kind))) }
    guard !footing.notes.isEmpty else { return }
    try sink("\n" + footing.notes.map { "- \(Markdown.escaped($0))\n" }.joined())
  }

  /// Backslashes before everything that could open markup, also before the dots and colons that make bare addresses links.
  static func escaped(_ text: String) -> String {
    let safe = TerminalText.safe(text)
    var escaped = ""
    for character in safe.unicodeScalars {
      switch character {
      case "\\", "|", "`", "*", "_", "<", ">", "[", "]", "&", "~", "#", "!", "$": escaped += "\\"
      default: break
      }
      escaped.unicodeScalars.append(character)
    }
    return escaped.replacing("://", with: "\\://").replacing("www.", with: "www\\.")
  }
}
