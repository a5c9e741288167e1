import FlowStore
import Foundation
import Testing

@testable import Reports

/// What a log brought stays text on a page.
@Suite("Answers as HTML")
struct HTMLTests {
  /// Each does something in a browser, a template engine or a mail program where it is not escaped.
  private static let payloads = [
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "' onmouseover='alert(1)",
    "</title><svg/onload=alert(1)>",
    "</style><style>*{background:url(//evil.example)}", "javascript:alert(1)", "https://evil.example/x",
    "www.evil.example",
    "<!--", "-->", "]]>", "&lt;script&gt;", "&#60;script&#62;", "{{constructor.constructor('alert(1)')()}}", "${7*7}",
    "`x`",
    "<a href=//evil.example>", "<meta http-equiv=refresh content=0>", "<base href=//evil.example>", "\u{0}<script>",
    "＜script＞", "\u{202e}<b>", "\u{1b}]8;;https://evil.example\u{7}link", "<plaintext>",
    "<math><mi xlink:href=\"data:x\">",
  ]

  /// Every tag that the page itself has.
  private static let tags: Set<String> = [
    "!DOCTYPE", "html", "head", "meta", "title", "style", "body", "h1", "p", "table", "thead", "tbody", "tfoot", "tr",
    "th",
    "td", "ul", "li", "details", "summary", "dl", "dt", "dd",
  ]

  private func page(_ text: String) throws -> String {
    let out = Text()
    var renderer = OutputFormat.html.renderer(Appearance(), to: out.take)
    try renderer.begin(
      Heading(
        name: text, title: text, parameters: [(text, text)], coverage: text,
        columns: [.init(name: text, kind: .text, text: text), .init(name: "flows", kind: .count)]))
    try renderer.row([.text(text), 1])
    try renderer.row([.text(text), .text(text)])
    try renderer.end(Footing(others: Others(rows: 2, values: [.text(text), 3]), notes: [text]))
    return out.text
  }

  @Test("no payload in any field becomes markup, an attribute or a link", arguments: payloads)
  func payload(text: String) throws {
    let page = try page(text)
    var rest = page[...]
    while let open = rest.firstIndex(of: "<") {
      let close = try #require(rest[open...].firstIndex(of: ">"))
      let tag = String(rest[rest.index(after: open)..<close])
      let name = String(tag.drop { $0 == "/" }.prefix { $0 != " " })
      #expect(HTMLTests.tags.contains(name), "\(tag)")
      let bare = tag.replacing(/"[^"]*"/, with: "")
      #expect(bare.wholeMatch(of: /\/?!?[A-Za-z0-9]+( [a-z-]+=?)*/) != nil, "\(tag)")
      for word in [" on", "href", "src"] { #expect(!bare.contains(word), "\(tag)") }
      rest = rest[rest.index(after: close)...]
    }
    #expect(page.components(separatedBy: "<style>").count == 2 && page.components(separatedBy: "<meta ").count == 5)
    #expect(!page.contains("<a "))
  }

  @Test("what is escaped is there, letter by letter")
  func escaping() {
    #expect(HTML.escaped("<b a='1' c=\"2\">&`{}") == "&lt;b a=&#39;1&#39; c=&quot;2&quot;&gt;&amp;&#96;&#123;&#125;")
    #expect(HTML.escaped("Zürich 東京") == "Zürich 東京")
    #expect(HTML.escaped("a\u{202e}b\u{0}\n") == "a\\u&#123;202e&#125;b\\x00\\n")
  }

  @Test("the page's policy allows its one style and nothing else")
  func policy() throws {
    let page = try page("x")
    #expect(
      page.contains(
        "content=\"default-src 'none'; style-src 'sha256-\(HTML.styleHash)'; base-uri 'none'; form-action 'none'\""))
    #expect(page.contains("<style>\(HTML.style)</style>"))
    // The policy stands before anything that could break it.
    let policy = try #require(page.range(of: "Content-Security-Policy"))
    #expect(policy.lowerBound < (try #require(page.range(of: "<title>"))).lowerBound)
    let folder = try ScratchFolder()
    try Data(HTML.style.utf8).write(to: URL(fileURLWithPath: folder.path("style")))
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/sha256sum")
    process.arguments = [folder.path("style")]
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let digits = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile().prefix(64), as: UTF8.self)
    let bytes = stride(from: 0, to: 64, by: 2).compactMap { UInt8(digits.dropFirst($0).prefix(2), radix: 16) }
    #expect(Data(bytes).base64EncodedString() == HTML.styleHash)
  }

  @Test(
    "each report comes as a page, with what it rests on", arguments: QueryCatalogue().reports.map(\.name))
  func reports(name: String) throws {
    let fixture = try StoreFixture()
    let reader = try FlowReader(path: fixture.path)
    let out = Text()
    let standing = try Standing(of: reader, findings: Standing.isAsked(by: name))
    let query = try QueryCatalogue().report(named: name)
    try Report(query).write(
      from: reader, with: OutputFormat.html.renderer(Appearance(), to: out.take), standing: standing)
    #expect(out.text.hasPrefix("<!DOCTYPE html>\n") && out.text.hasSuffix("</html>\n"))
    #expect(out.text.contains("<p class=\"coverage\">1 log, 64 lines read"))
    #expect(out.text.contains(HTML.escaped(query.title)))
    #expect(!out.text.contains("<script") && !out.text.contains("cmd\u{202e}"))
    for tag in ["table", "thead", "tbody", "tr", "html", "body"] {
      #expect(
        out.text.components(separatedBy: "<\(tag)>").count == out.text.components(separatedBy: "</\(tag)>").count
          || tag == "html", "\(tag)")
    }
  }
}
