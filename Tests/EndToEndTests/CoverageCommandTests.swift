import Foundation
import Testing

/// `gatewatch report coverage`, `report unlogged` and `--require-coverage`, as built.
@Suite struct CoverageCommandTests {
  /// Lines of Squid, one at each second given, after 2026-11-02T09:00:00Z.
  private func squid(_ seconds: some Sequence<Int>, client: String = "10.80.3.11", status: String = "200") -> String {
    seconds.map { second in
      "\(1_793_610_000 + second).000     10 \(client) TCP_MISS/\(status) 100 GET http://a.example/ - HIER_DIRECT/203.0.113.7 text/html\n"
    }.joined()
  }

  private func row(_ log: String, _ output: String) throws -> [String: Any] {
    let line = try #require(output.split(separator: "\n").first { $0.contains("\"log\":\"\(log)\"") }, "\(output)")
    return try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
  }

  @Test("a silence much longer than a log's usual pause is a gap; a quiet log has none")
  func gaps() throws {
    let session = try Session()
    defer { session.remove() }
    try session.write(
      squid(stride(from: 0, to: 3600, by: 30)) + squid(stride(from: 10_800, to: 14_400, by: 30)), to: "busy.log")
    try session.write(squid(stride(from: 0, to: 72_000, by: 1_800)), to: "quiet.log")
    let output = try session.run("gatewatch ingest *.log > i.txt; gatewatch report coverage --format ndjson")
    let busy = try row("busy.log", output)
    #expect(busy["gaps"] as? Int == 1)
    #expect(busy["longest_gap"] as? Int == 10_800_000 - 3_570_000)
    #expect(busy["gap_from"] as? String == "2026-11-02T09:59:30.000Z")
    #expect(busy["signs"] is NSNull)
    #expect(try row("quiet.log", output)["gaps"] as? Int == 0)
  }

  @Test("logs of errors alone, ten-line tails and unfinished lines are named; shares and last line are told")
  func signs() throws {
    let session = try Session()
    defer { session.remove() }
    try session.write(squid(0..<20, status: "503"), to: "errors.log")
    try session.write(squid(100..<110), to: "tail.log")
    try session.write(squid(200..<215) + "what is this\n" + squid(215..<216).dropLast(20), to: "whole.log")
    let output = try session.run("gatewatch ingest *.log > i.txt 2>&1; gatewatch report coverage --format ndjson")
    #expect(try row("errors.log", output)["signs"] as? String == "errors-only")
    #expect(try row("tail.log", output)["signs"] as? String == "ten-line-tail")
    let whole = try row("whole.log", output)
    #expect(whole["signs"] as? String == "unfinished")
    #expect(whole["last_line"] as? Int == 16)
    #expect(whole["rejected_share"] as? Double == 0.0625)
    #expect(whole["formats"] as? String == "squid")
  }

  @Test("clients at a proxy that wrote no log of their own are listed")
  func unlogged() throws {
    let session = try Session()
    defer { session.remove() }
    let output = try session.run("gatewatch ingest SampleLogs/demo > i.txt; gatewatch report unlogged --format ndjson")
    #expect(
      output.contains("\"client\":\"10.80.2.81\",\"seen_by\":\"forward-proxy, sni-proxy\",\"flows\":3"), "\(output)")
    #expect(!output.contains("\"10.80.3.13\""))
  }

  @Test("a requirement that is not met makes a report exit with 3, with the answer still given")
  func reportRequires() throws {
    let session = try Session()
    defer { session.remove() }
    try session.write(
      squid(stride(from: 0, to: 3600, by: 30)) + squid(stride(from: 7_200, to: 7_300, by: 30)), to: "squid.log")
    func run(_ requirement: String, _ more: String = "") throws -> String {
      try session.run(
        "gatewatch report summary \(more) --require-coverage '\(requirement)' > out.txt 2> err.txt; echo \"exit code $?\"; cat err.txt; grep -c 'What left' out.txt"
      )
    }
    _ = try session.run("gatewatch ingest squid.log > i.txt")
    #expect(try run("role=forward-proxy,max-gap=2h") == "exit code 0\n1\n")
    let gap = try run("role=forward-proxy,max-gap=15m")
    #expect(
      gap
        == "exit code 3\ngatewatch: coverage: no line of any forward-proxy log from 2026-11-02T09:59:30Z to 2026-11-02T11:00:00Z, 1 h 00 m (at most 15 m 00 s)\n1\n",
      "\(gap)")
    #expect(try run("max-gap=15m", "--until 2026-11-02T09:59:00Z").hasPrefix("exit code 0\n"))
    #expect(try run("max-gap=15m", "--until 2026-11-02T10:30:00Z").hasPrefix("exit code 3\n"))
    #expect(try run("role=gateway").contains("coverage: no gateway log was read"))
    #expect(try run("log=*squid*,max-rejected=0%").hasPrefix("exit code 0\n"))
    #expect(try run("clients=logged").contains("1 client at a gateway or proxy without a log of its own"))
    #expect(try run("max-silence=1h").hasPrefix("exit code 3\n"))
    // Of a time of which nothing was read, nothing is known to be as it should.
    for requirement in ["role=forward-proxy", "clients=logged", "next-hops=read", "max-rejected=1%"] {
      let later = try run(requirement, "--since 2026-11-05")
      #expect(later.hasPrefix("exit code 3\n"), "\(later)")
      #expect(later.contains("log holds a line of the time asked about"), "\(later)")
    }
    #expect(try run("role=forward-proxy", "--since 2026-11-02T11:00:00Z").hasPrefix("exit code 0\n"))
  }

  @Test("alert cannot tell where the coverage is not met: exit 3, and never silence")
  func alertRequires() throws {
    let session = try Session()
    defer { session.remove() }
    let output = try session.run(
      """
      gatewatch ingest SampleLogs/demo/squid.log > i.txt
      gatewatch alert > first.txt
      gatewatch alert; echo "exit code $?"
      gatewatch alert --require-coverage role=forward-proxy,max-gap=15m; echo "exit code $?"
      """)
    #expect(output.hasPrefix("exit code 0\n"), "\(output)")
    #expect(output.contains("could not tell: coverage: no line of any forward-proxy log from "))
    #expect(output.hasSuffix("exit code 3\n"))
  }

  @Test(
    "a requirement that cannot be read is refused, by alert with 3",
    arguments: ["role=door", "max-gap=5", "max-gap=10s", "gap=5m", "", "max-rejected=200%", "clients=some"])
  func refusals(requirement: String) throws {
    let session = try Session()
    defer { session.remove() }
    let output = try session.run(
      """
      gatewatch report bypass --require-coverage '\(requirement)' 2> /dev/null; echo "exit code $?"
      gatewatch alert --require-coverage '\(requirement)' 2> /dev/null; echo "exit code $?"
      """)
    #expect(output == "exit code 64\nexit code 3\n")
  }
}
