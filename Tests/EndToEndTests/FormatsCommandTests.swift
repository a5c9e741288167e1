import Foundation
import Testing

/// `gatewatch formats`, as built.
@Suite struct FormatsCommandTests {
  @Test("a format of the list is printed as a format string that can be given back")
  func listAndGiveBack() throws {
    let session = try Session()
    defer { session.remove() }
    let source = try session.run("gatewatch formats list squid")
    #expect(source.hasPrefix("%ts.%03tu %6tr %>a "))
    try session.write(source, to: "squid.format")
    let output = try session.run(
      "gatewatch formats test SampleLogs/demo/squid.log --lines 1 --log-format @squid.format")
    #expect(output.hasPrefix("line 1: custom\n"), "\(output)")
  }

  @Test("the formats of a configuration file stand in the list, before the built-in ones")
  func listOfAFile() throws {
    let session = try Session()
    defer { session.remove() }
    try session.write("log_format short '$remote_addr [$time_local] $protocol $status';\n", to: "nginx.conf")
    let list = try session.run("gatewatch formats list --log-format @nginx.conf --format csv --csv-raw 2>&1 || true")
    #expect(!list.isEmpty)
    let rows = try session.run("gatewatch formats list --log-format @nginx.conf --format ndjson")
    #expect(
      rows.hasPrefix(#"{"name":"short","proxy":"nginx-stream","about":"log_format in nginx.conf:1""#),
      "\(rows.prefix(200))")
  }

  @Test("gzip and standard input are read like a file")
  func inputs() throws {
    let session = try Session()
    defer { session.remove() }
    let log = "SampleLogs/demo/envoy-egressgateway.log"
    let plain = try session.run("gatewatch formats test \(log) --lines 3")
    #expect(plain.contains("line 3: istio-1.23"))
    #expect(try session.run("gzip -c \(log) > log.gz && gatewatch formats test log.gz --lines 3") == plain)
    #expect(try session.run("gzip -c \(log) | gatewatch formats test - --lines 3") == plain)
  }

  @Test("a rejected line shows its reason and a caret below the column, and the exit code says so")
  func rejected() throws {
    let session = try Session()
    defer { session.remove() }
    try session.write("[2020-08-05T11:00:00.000Z] \"GET / HTTP/1.1\" 200 nonsense\nnothing known\n\n", to: "bad.log")
    let output = try session.run("gatewatch formats test bad.log; echo \"exit code $?\"")
    let lines = output.split(separator: "\n", omittingEmptySubsequences: false)
    #expect(lines[0].hasPrefix("line 1: rejected: malformed-envoy, column "))
    let column = try #require(Int(lines[0].split(separator: "column ")[1].prefix { $0.isNumber }))
    // Four columns of indentation; longer lines are cut on the left.
    #expect(
      lines[2].firstIndex(of: "^").map { lines[2].distance(from: lines[2].startIndex, to: $0) } ?? 0 <= column + 3)
    #expect(output.contains("line 2: rejected: unrecognised"))
    #expect(output.contains("line 3: skipped: blank"))
    #expect(
      output.hasSuffix(
        "0 understood, 1 skipped (blank 1), 2 rejected (malformed-envoy 1, unrecognised 1)\nexit code 1\n"))
  }

  @Test("--rejected finds the lines that nothing understood, wherever they are")
  func onlyRejected() throws {
    let session = try Session()
    defer { session.remove() }
    let output = try session.run(
      """
      (cat SampleLogs/demo/squid.log; echo nothing known; cat SampleLogs/demo/squid.log) > mixed.log
      gatewatch formats test mixed.log --rejected
      """)
    #expect(output.hasPrefix("line 13: rejected: unrecognised"))
    #expect(output.contains("24 understood (squid 24), 0 skipped, 1 rejected (unrecognised 1)"))
  }

  @Test("what a client wrote cannot reach the terminal as control characters")
  func hostileValues() throws {
    let session = try Session()
    defer { session.remove() }
    let line = try session.run("sed -n 1p SampleLogs/demo/envoy-egressgateway.log")
    let hostile = line.replacing("okhttp/4.12.0", with: "\u{1b}[2J\u{9b}31m\u{202e}\u{200b}\u{7f}")
    try session.write(hostile + "\u{1b}]0;title\u{7} unknown\n", to: "hostile.log")
    for format in ["text", "json"] {
      let output = try session.run("gatewatch formats test hostile.log --format \(format)")
      let isControl = output.unicodeScalars.contains {
        $0 != "\n" && ($0.value < 0x20 || (0x7F...0x9F).contains($0.value)) || $0 == "\u{202e}" || $0 == "\u{200b}"
      }
      #expect(!isControl || format == "json", "\(output)")
      #expect(!output.contains("\u{1b}"))
    }
    #expect(try session.run("gatewatch formats test hostile.log").contains(#"\x1b[2J\x9b31m\u{202e}\u{200b}\x7f"#))
  }

  @Test("JSON names each line's kind, columns and flow")
  func json() throws {
    let session = try Session()
    defer { session.remove() }
    let output = try session.run("gatewatch formats test SampleLogs/demo/squid.log --format json --lines 2")
    let answer = try #require(try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any])
    let lines = try #require(answer["lines"] as? [[String: Any]])
    #expect(lines.count == 2)
    #expect(lines.first?["kind"] as? String == "stored")
    let flow = try #require(lines.first?["flow"] as? [String: Any])
    #expect(flow["host"] as? String == "map.baidu.com")
    #expect(flow["source_ip"] as? String == "10.80.3.13")
    #expect((answer["sums"] as? [String: Any])?["stored"] as? Int == 2)
  }
}
