import FlowStore
import Testing

@testable import Reports

@Suite("Answers as text")
struct RenderingTests {
  private static let columns = [
    Query.Column(name: "host", kind: .text), Query.Column(name: "flows", kind: .count),
    Query.Column(name: "sent", kind: .bytes), Query.Column(name: "first_seen", kind: .first),
  ]
  private static let rows: [[Value]] = [
    ["a.example.com", 1_234_567, 1536, 1_793_534_400_000],
    ["b|<script>alert(1)</script>", 5, nil, nil],
    ["=cmd|' /C calc'!A0", 7, 0, 1_793_534_400_123],
    ["esc\u{1b}[2J \u{202e}live\u{200b}", 1, -5, -1],
  ]

  private func render(_ format: OutputFormat, _ appearance: Appearance = Appearance()) throws -> String {
    let text = Text()
    var renderer = format.renderer(appearance, to: text.take)
    try renderer.begin(
      Heading(
        name: "demo", title: "A demonstration", parameters: [("host", "*.example.com")], coverage: "1 log",
        columns: RenderingTests.columns))
    for row in RenderingTests.rows { try renderer.row(row) }
    try renderer.end(Footing(others: Others(rows: 3, values: [nil, 12, 4096, 1_793_534_400_000]), notes: ["a note"]))
    return text.text
  }

  @Test("each format is as its snapshot", arguments: OutputFormat.allCases)
  func formats(format: OutputFormat) throws {
    try expectSnapshot(try render(format), "demo.\(format.rawValue).txt")
  }

  @Test("a table fits the terminal: texts are clipped, then columns left out and named")
  func narrow() throws {
    for width in [40, 48, 60, 100] {
      let table = try render(.table, Appearance(width: width))
      for line in table.split(separator: "\n").dropFirst(3) where !line.contains("no room") {
        #expect(TerminalText.width(String(line)) <= width, "\(width): \(line)")
      }
    }
    #expect(try render(.table, Appearance(width: 40)).contains("no room for"))
  }

  @Test("a text loses its end, the path of a log its beginning")
  func clipping() {
    #expect(TerminalText.clipped("edition.cnn.com", to: 10) == "edition.c…")
    #expect(TerminalText.clippedPath("/var/log/mesh/gateway.log", to: 12) == "…gateway.log")
    #expect(TerminalText.clippedPath("漢字漢字.log", to: 8) == "…字.log")
    #expect(TerminalText.clippedPath("a.log", to: 5) == "a.log")
  }

  @Test("colours come only when asked for")
  func colours() throws {
    #expect(!(try render(.table)).unicodeScalars.contains("\u{1b}"))
    #expect((try render(.table, Appearance(hasColours: true))).unicodeScalars.contains("\u{1b}"))
  }

  @Test("no format lets a control character through to a terminal", arguments: OutputFormat.allCases)
  func terminalSafe(format: OutputFormat) throws {
    for scalar in try render(format).unicodeScalars where scalar != "\n" && scalar != "\r" {
      #expect(!TerminalText.isDangerous(scalar), "U+\(String(scalar.value, radix: 16))")
    }
  }

  @Test(
    "what could deceive a reader at a terminal is shown as its code",
    arguments: [
      ("plain", "plain"), ("\u{1b}]0;owned\u{07}", "\\x1b]0;owned\\x07"), ("a\nb\r\t", "a\\nb\\r\\t"),
      ("\u{7f}\u{9b}31m", "\\x7f\\x9b31m"), ("\u{202e}gpj.exe", "\\u{202e}gpj.exe"),
      ("a\u{200b}b\u{200d}\u{feff}", "a\\u{200b}b\\u{200d}\\u{feff}"), ("\u{2066}x\u{2069}", "\\u{2066}x\\u{2069}"),
      ("\u{2028}\u{85}", "\\u{2028}\\x85"), ("\u{0}", "\\x00"), ("\u{e0041}", "\\u{e0041}"),
      ("a\u{a0}b", "a\\xa0b"), ("Zürich 東京", "Zürich 東京"),
    ])
  func terminalText(raw: String, shown: String) {
    #expect(TerminalText.safe(raw) == shown)
  }

  @Test(
    "a spreadsheet finds no formula",
    arguments: [
      ("=1+1", "'=1+1"), ("+49 30", "'+49 30"), ("-", "'-"), ("@SUM(A1)", "'@SUM(A1)"), ("\tx", "'\\tx"),
      ("\rx", "'\\rx"), (" =1", "' =1"), ("\u{ff1d}1", "'\u{ff1d}1"), ("-12.5", "-12.5"), ("+7", "+7"),
      ("-1-1", "'-1-1"), ("a,b", "\"a,b\""), ("say \"x\"", "\"say \"\"x\"\"\""), ("plain", "plain"), ("", ""),
      ("=\"x\",1", "\"'=\"\"x\"\",1\""),
    ])
  func csvSafe(raw: String, cell: String) throws {
    let text = Text()
    var csv = CSV(isRaw: false, sink: text.take)
    try csv.begin(Heading(columns: [Query.Column(name: "c", kind: .text)]))
    try csv.row([.text(raw)])
    #expect(text.text == "c\r\n\(cell)\r\n")
  }

  @Test("raw CSV keeps every byte, and numbers are never touched")
  func csvRaw() throws {
    let text = Text()
    var csv = CSV(isRaw: true, sink: text.take)
    try csv.begin(Heading(columns: [.init(name: "c", kind: .text), .init(name: "n", kind: .number)]))
    try csv.row(["=1\n\u{1b}", -5])
    #expect(text.text == "c,n\r\n\"=1\n\u{1b}\",-5\r\n")
  }

  @Test("bytes, durations and times read as people write them")
  func quantities() {
    #expect(
      [0, 1023, 1024, 1_048_576, 15_728_640, -2048, .max].map { Quantities.bytes($0) } == [
        "0 B", "1023 B", "1.00 KiB", "1.00 MiB", "15.0 MiB", "-2.00 KiB", "8.00 EiB",
      ])
    #expect(
      [0, 0.5, 12, 1250, 185_000, 7_800_000, 90_000_000].map { Quantities.duration($0) } == [
        "0 ms", "0.5 ms", "12 ms", "1.25 s", "3 m 05 s", "2 h 10 m", "1 d 1 h",
      ])
    #expect(Quantities.iso(0) == "1970-01-01T00:00:00.000Z")
    #expect(Quantities.iso(-1) == "1969-12-31T23:59:59.999Z")
    #expect(Quantities.iso(951_782_400_000) == "2000-02-29T00:00:00.000Z")
    // Absurd times of forged lines must not crash.
    #expect(!Quantities.iso(.max).isEmpty && !Quantities.iso(.min).isEmpty)
  }

  @Test("JSON has no number that JSON does not know, and keeps text as it is")
  func json() {
    #expect(JSON.value(.real(.infinity), .number) == "null")
    #expect(JSON.value(.real(2), .number) == "2")
    #expect(JSON.string("a\"\\\u{1b}\u{202e}\u{e0041}é") == "\"a\\\"\\\\\\u001b\\u202e\\udb40\\udc41é\"")
  }
}
