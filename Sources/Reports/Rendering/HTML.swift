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
  private var text = OutputText()

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
    try sink(OutputText(text + "</tr></thead>\n<tbody>\n"))
  }

  mutating func row(_ values: [Value]) throws {
    rows += 1
    text.removeAll()
    text.append("<tr>")
    write(values)
    text.append("</tr>\n")
    try sink(text)
  }

  mutating func end(_ footing: Footing) throws {
    text.removeAll()
    if rows == 0 { text.append("<tr><td colspan=\"\(max(1, columns.count))\">nothing found</td></tr>\n") }
    text.append("</tbody>\n")
    if let others = footing.others {
      text.append("<tfoot><tr>")
      write(others.labelled(columns.map(\.kind)))
      text.append("</tr></tfoot>\n")
    }
    text.append("</table>\n")
    if !footing.notes.isEmpty {
      text.append("<ul>\n\(footing.notes.map { "<li>\(HTML.escaped($0))</li>\n" }.joined())</ul>\n")
    }
    let described = columns.filter { !$0.text.isEmpty }
    if !described.isEmpty {
      text.append("<details><summary>What the columns mean</summary>\n<dl>\n")
      for column in described {
        text.append("<dt>\(HTML.escaped(column.name))</dt><dd>\(HTML.escaped(column.text))</dd>\n")
      }
      text.append("</dl>\n</details>\n")
    }
    text.append("</body>\n</html>\n")
    try sink(text)
  }

  private mutating func write(_ values: [Value]) {
    for (column, value) in zip(columns, values) {
      text.append("<td")
      // Words that a tired reader must not miss.
      if case .text(let word) = value, word == "critical" || word == "warning" {
        text.append(" class=\"\(word)\"")
      } else {
        text.append(HTML.alignment(column, value))
      }
      text.append(UInt8(ascii: ">"))
      text.append(readable: value, column.kind) { $0.append(html: $1) }
      text.append("</td>")
    }
  }

  private static func alignment(_ column: Query.Column, _ value: Value?) -> String {
    column.kind.isRightAligned || (value?.isNumber ?? false) ? " class=\"number\"" : ""
  }

  /// For text and for attributes in double quotes.
  static func escaped(_ text: String) -> String {
    var html = OutputText()
    html.append(html: text)
    return html.string
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

extension OutputText {
  /// For text and for attributes in double quotes.
  mutating func append(html text: String) {
    var safe = TerminalText.safe(text)
    safe.withUTF8 { bytes in
      for byte in bytes {
        switch byte {
        case UInt8(ascii: "&"): append("&amp;")
        case UInt8(ascii: "<"): append("&lt;")
        case UInt8(ascii: ">"): append("&gt;")
        case UInt8(ascii: "\""): append("&quot;")
        case UInt8(ascii: "'"): append("&#39;")
        // Some readers make templates of these.
        case UInt8(ascii: "{"): append("&#123;")
        case UInt8(ascii: "}"): append("&#125;")
        case UInt8(ascii: "`"): append("&#96;")
        default: append(byte)
        }
      }
    }
  }
}
