internal import FlowStore

/// One page that stands alone: no script, no link, nothing that is fetched; dark where the reader's system is.
///
/// What a log brought is text and nothing else: every character that could open markup is a reference, what could deceive
/// the eye is shown as its code, and no address becomes a link. Should an escape be missed all the same, the page's own
/// policy (`default-src 'none'`, one style by its hash) leaves it nothing to do.
struct HTML: Renderer {
  private let sink: TextSink
  private var columns: [Query.Column] = []
  private var rows = 0

  init(sink: @escaping TextSink) { self.sink = sink }

  mutating func begin(_ heading: Heading) throws {
    columns = heading.columns
    let title = heading.title.isEmpty ? "Query" : heading.title
    var text = """
      <!DOCTYPE html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta http-equiv="Content-Security-Policy" content="\(HTML.policy)">
      <meta name="referrer" content="no-referrer">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <title>\(HTML.escaped(title)) - gatewatch</title>
      <style>\(HTML.style)</style>
      </head>
      <body>
      <h1>\(HTML.escaped(title))</h1>

      """
    if !heading.parameters.isEmpty {
      let parameters = heading.parameters.map { "\($0.name) \($0.value)" }.joined(separator: ", ")
      text += "<p>\(HTML.escaped(parameters))</p>\n"
    }
    if let coverage = heading.coverage {
      let zone = columns.contains { $0.kind.isTime } ? "; times are UTC" : ""
      text += "<p class=\"coverage\">\(HTML.escaped(coverage + zone))</p>\n"
    }
    text += "<table>\n<thead><tr>"
    for column in columns {
      let about = column.text.isEmpty ? "" : " title=\"\(HTML.escaped(column.text))\""
      text += "<th scope=\"col\"\(about)\(HTML.alignment(column, nil))>\(HTML.escaped(column.name))</th>"
    }
    try sink(text + "</tr></thead>\n<tbody>\n")
  }

  mutating func row(_ values: [Value]) throws {
    rows += 1
    try sink("<tr>" + cells(values) + "</tr>\n")
  }

  mutating func end(_ footing: Footing) throws {
    var text = ""
    if rows == 0 { text += "<tr><td colspan=\"\(max(1, columns.count))\">nothing found</td></tr>\n" }
    text += "</tbody>\n"
    if let others = footing.others {
      text += "<tfoot><tr>\(cells(others.labelled(columns.map(\.kind))))</tr></tfoot>\n"
    }
    text += "</table>\n"
    if !footing.notes.isEmpty {
      text += "<ul>\n" + footing.notes.map { "<li>\(HTML.escaped($0))</li>\n" }.joined() + "</ul>\n"
    }
    let described = columns.filter { !$0.text.isEmpty }
    if !described.isEmpty {
      text += "<details><summary>What the columns mean</summary>\n<dl>\n"
      for column in described { text += "<dt>\(HTML.escaped(column.name))</dt><dd>\(HTML.escaped(column.text))</dd>\n" }
      text += "</dl>\n</details>\n"
    }
    try sink(text + "</body>\n</html>\n")
  }

  private func cells(_ values: [Value]) -> String {
    zip(columns, values).map { column, value in
      let text = value.readable(column.kind)
      // Words that a tired reader must not miss.
      let mark = text == "critical" || text == "warning" ? " class=\"\(text)\"" : HTML.alignment(column, value)
      return "<td\(mark)>\(HTML.escaped(text))</td>"
    }.joined()
  }

  private static func alignment(_ column: Query.Column, _ value: Value?) -> String {
    column.kind.isRightAligned || (value?.isNumber ?? false) ? " class=\"number\"" : ""
  }

  /// For text and for attributes in double quotes.
  static func escaped(_ text: String) -> String {
    var escaped = ""
    for scalar in TerminalText.safe(text).unicodeScalars {
      switch scalar {
      case "&": escaped += "&amp;"
      case "<": escaped += "&lt;"
      case ">": escaped += "&gt;"
      case "\"": escaped += "&quot;"
      case "'": escaped += "&#39;"
      // Some readers make templates of these.
      case "{": escaped += "&#123;"
      case "}": escaped += "&#125;"
      case "`": escaped += "&#96;"
      default: escaped.unicodeScalars.append(scalar)
      }
    }
    return escaped
  }

  // MARK: What never changes

  static let style = """
    :root{color-scheme:light dark}body{font:14px/1.4 system-ui,sans-serif;margin:2em}h1{font-size:1.3em}\
    .coverage{opacity:.75}table{border-collapse:collapse}th,td{padding:.2em .7em;text-align:left;vertical-align:top;\
    overflow-wrap:anywhere;max-width:40em}th{border-bottom:2px solid;position:sticky;top:0;background:Canvas}\
    tbody tr:nth-child(even){background:color-mix(in srgb,CanvasText 6%,Canvas)}tfoot td{border-top:1px solid;opacity:.75}\
    .number{text-align:right;white-space:nowrap}.critical{color:#c00;font-weight:bold}.warning{color:#b60;font-weight:bold}\
    dt{font-weight:bold}details{margin-top:1em}
    """
  /// SHA-256 of `style`, in Base64; a test computes it anew.
  static let styleHash = "QnFGuTx3IqoMb7Ly5LGSa5BdtthaPEga0onZbgf5Yac="
  static let policy =
    "default-src 'none'; style-src 'sha256-\(styleHash)'; base-uri 'none'; form-action 'none'"
}
