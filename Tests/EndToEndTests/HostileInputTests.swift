import Foundation
import Testing

/// Lines, names and files made to break whoever reads them: they stay data, and memory stays bounded.
@Suite struct HostileInputTests {
  let sandbox: Sandbox

  init() throws { sandbox = try Sandbox() }

  /// Texts that do something to a terminal, a spreadsheet, a browser or SQL when they are not escaped.
  private static let corpus = [
    "\u{1B}[2J\u{1B}]0;owned\u{07}", "\u{9B}31m", "\u{202E}txt.exe", "\u{200B}\u{FEFF}hidden",
    "a\tb\u{0B}\u{0C}c\u{7F}",
    "=cmd|' /C calc'!A0", "@SUM(1+1)", "+1-1", "<script>alert(1)</script>", "'; drop table flow; --", "%00%0a%0d",
    "a\u{0000}b",
    "| pipe | `code` |", "\\\\x22\\x5c", "\u{1F4A9}\u{0301}",
  ]

  /// One sidecar line with this text in every field that a client can write.
  private func hostileLine(_ text: String) -> String {
    """
    [2020-08-25T14:55:33.114Z] "GET /\(text) HTTP/1.1" 301 - "-" "-" 0 0 310 310 "\(text)" "\(text)" "\(text)" "\(text)" \
    "151.101.1.67:80" outbound|80||edition.cnn.com 10.80.3.231:48390 151.101.65.67:80 10.80.3.231:44674 \(text.replacing(" ", with: "_")) default

    """
  }

  /// Characters that no answer may hold as they are: C0 without newline, DEL, C1, bidirectional and zero-width ones.
  private func activeCharacters(in text: String, allowing allowed: String = "\n") -> Set<UInt32> {
    Set(
      text.unicodeScalars.filter { scalar in
        if allowed.unicodeScalars.contains(scalar) { return false }
        let value = scalar.value
        return value < 0x20 || (0x7F...0x9F).contains(value) || (0x200B...0x200F).contains(value)
          || (0x202A...0x202E).contains(value) || (0x2066...0x2069).contains(value) || value == 0xFEFF
      }.map(\.value))
  }

  @Test(
    "no query string and no password of a URL is kept, of lines that are understood or not, first, last or appended")
  func secrets() throws {
    func squid(_ number: Int) -> String {
      "17879\(10_000 + number).123    310 10.80.3.11 TCP_MISS/200 4000 GET http://u:SECRET@api.example.com/a?token=SECRET\(number) - HIER_DIRECT/203.0.113.7 text/html\n"
    }
    let rejected =
      "[2020-08-25T14:55:33.114Z] \"GET /x?sig=SECRET HTTP/1.1\" 2x0 - broken\n{\"path\":\"/y?sig=SECRET\",\"authorization\":\"Bearer SECRET\"}\n"
    for (run, numbers) in [1...1, 2...400, 401...402].enumerated() {
      try sandbox.append(numbers.map(squid).joined(), to: "squid.log")
      try sandbox.append(hostileLine("a").replacing("GET /a ", with: "GET /a?key=SECRET\(run) "), to: "envoy.log")
      try sandbox.append(rejected, to: "broken.log")
      _ = try sandbox.shell("$GATEWATCH alert --ingest squid.log envoy.log broken.log")
      let found = try sandbox.shell("cat gatewatch.db* | grep -a -o '.\\{0,40\\}SECRET.\\{0,10\\}' | head -n 3").out
      #expect(found.isEmpty, "run \(run): \(found)")
    }
    #expect(try sandbox.shell("$GATEWATCH query -e 'select sum(stored) from log'").out.contains("405"))
    let report = try sandbox.shell("$GATEWATCH report rejected").out
    #expect(report.contains("/x?[redacted] HTTP/1.1") && !report.contains("SECRET"), "\(report)")
  }

  @Test("no text of a log, and no name of a file, reaches a terminal, a table, a page or a spreadsheet alive")
  func corpus() throws {
    let name = "evil\n\u{1B}[2J\u{202E}=1.log"
    var text = HostileInputTests.corpus.map(hostileLine).joined()
    text += HostileInputTests.corpus.map { "no format \($0)\n" }.joined()
    text += HostileInputTests.corpus.map {
      "1598596320.477 342 \($0.replacing(" ", with: "")) TCP_TUNNEL/200 1 CONNECT \($0.replacing(" ", with: "")):443 \($0.replacing(" ", with: "")) HIER_DIRECT/180.101.49.69 -\n"
    }.joined()
    text += HostileInputTests.corpus.map { "127.0.0.1 [08/Sep/2020:05:32:32 +0000] TCP [\($0)]200 51689 232 630.131\n" }
      .joined()
    try sandbox.write(text, to: name)
    let ingest = try sandbox.gatewatch("ingest", name, "missing\u{1B}[2J\u{202E}.log")
    #expect(ingest.status == 1)
    #expect(activeCharacters(in: ingest.out + ingest.errors).isEmpty, "\(ingest.out)\(ingest.errors)")
    #expect(try sandbox.stored() > 15)

    var questions = try sandbox.gatewatch("report", "--list").lines.map { ["report", String($0.prefix { $0 != " " })] }
    questions += [
      ["flows"], ["query", "-e", "select * from flows"], ["query", "-e", "select * from rejected_line"],
      ["query", "-e", "select * from destination"], ["query", "-e", "select path, note from log"],
    ]
    for question in questions {
      for format in ["table", "markdown", "csv", "ndjson", "json", "html"] {
        let command = (question + ["--format", format, "--limit", "0"]).map { "'\($0)'" }.joined(separator: " ")
        let answer = try sandbox.shell("$GATEWATCH \(command)")
        #expect(answer.status == 0, "\(command): \(answer.errors)")
        let active = activeCharacters(in: answer.out + answer.errors, allowing: format == "csv" ? "\r\n" : "\n")
        #expect(active.isEmpty, "\(command): \(active)")
        switch format {
        case "csv": #expect(!answer.out.contains(/(^|[,\n"])[=@+][A-Za-z0-9]/), "\(command)")
        case "markdown": #expect(!answer.out.contains(/(^|[^\\])<script/), "\(command)")
        case "html": #expect(!answer.out.contains("<script") && !answer.out.contains("<a "), "\(command)")
        case "json": _ = try answer.json()
        case "ndjson": _ = try answer.rows()
        default: break
        }
      }
    }
    let alert = try sandbox.gatewatch("alert")
    #expect(activeCharacters(in: alert.out + alert.errors).isEmpty)
    #expect(try sandbox.gatewatch("db", "check").status == 0)
  }

  @Test("lines up to 1 MiB are parsed, longer ones are rejected as too long")
  func longLines() throws {
    let line = Lines.sidecar(1...1)
    func padded(to length: Int) -> String {
      line.replacing("curl/", with: String(repeating: "A", count: length - line.utf8.count + 1) + "curl/")
    }
    let lengths = [16 << 10, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20]
    try sandbox.write(lengths.map(padded).joined() + line, to: "long.log")
    let summary = try sandbox.gatewatch("ingest", "--format", "json", "long.log").json()
    #expect(summary["lines"] as? [String: Int] == ["read": 6, "stored": 4, "rejected": 2, "skipped": 0])
    #expect(summary["rejected"] as? [String: Int] == ["too-long": 2])
    #expect(try sandbox.answer("select line from flows order by line") == "1\n2\n3\n6")
  }

  @Test("a file without any newline is pending, and is one rejected line once it has ended")
  func noNewline() throws {
    try sandbox.shell("head -c 5000000 /dev/zero | tr '\\0' x > big.log")
    let ingest = try sandbox.gatewatch("ingest", "--format", "json", "big.log")
    let first = try ingest.json()
    #expect((first["files"] as? [[String: Any]])?.first?["pending"] as? Int == 5_000_000, "\(ingest.errors)")
    try sandbox.append("\n" + Lines.squid(1...1), to: "big.log")
    let second = try sandbox.gatewatch("ingest", "--format", "json", "big.log").json()
    #expect(second["lines"] as? [String: Int] == ["read": 2, "stored": 1, "rejected": 1, "skipped": 0])
  }

  @Test("a cut gzip file is read as far as it goes, and on when it is whole")
  func cutGzip() throws {
    try sandbox.write(Lines.squid(1...4000), to: "squid.log")
    try sandbox.shell("gzip -c squid.log > whole.gz; head -c 30000 whole.gz > squid.log.1.gz; rm squid.log")
    let cut = try sandbox.gatewatch("ingest", "--db", "cut.db", "squid.log.1.gz")
    #expect(cut.errors.contains("gzip data ends in the middle"), "\(cut.errors)")
    let stored = try sandbox.stored(db: "cut.db")
    #expect(stored > 100 && stored < 4000)
    try sandbox.shell("cat whole.gz > squid.log.1.gz")
    #expect(try sandbox.gatewatch("ingest", "--db", "cut.db", "squid.log.1.gz").status == 0)
    #expect(try sandbox.stored(db: "cut.db") == 4000)
    #expect(try sandbox.answer("select count(distinct line) from flows", db: "cut.db") == "4000")
  }

  @Test("no line that a client can write clears its own bypass")
  func nothingClears() throws {
    // A passthrough whose authority and SNI name the mesh, the gateway and an excepted host.
    let names = [
      "my-svc.prod.svc.cluster.local", "istio-egressgateway.istio-system.svc.cluster.local", "allowed.example.com",
    ]
    try sandbox.write(
      names.map { name in
        """
        [2020-08-25T14:55:33.114Z] "GET / HTTP/1.1" 200 - "-" "-" 0 0 310 310 "10.80.3.232" "curl" "-" "\(name)" \
        "203.0.113.7:80" PassthroughCluster 10.80.3.231:48390 203.0.113.7:80 10.80.3.231:44674 \(name) allow_any

        """
      }.joined(), to: "sidecar.log")
    try sandbox.write(
      """
      exceptions:
        - { host: "*.example.com", owner: a, reason: b, expires: 2099-01-01 }
        - { host: "*.svc.cluster.local", owner: a, reason: b, expires: 2099-01-01 }
      """, to: "policy.yaml")
    try sandbox.gatewatch("ingest", "sidecar.log", "--policy", "policy.yaml")
    #expect(try sandbox.answer("select bypass, count(*) from flows group by bypass") == "passthrough,3")
    #expect(try sandbox.gatewatch("alert").status == 2)
  }
}
