import Foundation
import Testing

/// The journey in `gatewatch explain`, as built, on what real proxies wrote.
@Suite struct ExplainJourneyTests {
  private static let logs = "SampleLogs/real-proxies/istio-1.23"
  private static let fill = "gatewatch ingest --join-hops \(logs) > i.txt\n"

  private func json(_ session: Session, _ command: String) throws -> [String: Any] {
    let output = try session.run(command)
    return try #require(try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any], "\(output)")
  }

  @Test("a flow is shown with its whole way: every hop's role, time, bytes and end, and every raw line with its place")
  func wholeWay() throws {
    let session = try Session()
    defer { session.remove() }
    let output = try session.run(Self.fill + "gatewatch explain sni-gateway.log:2")
    let logs = Self.logs
    for part in [
      "  journey       d2a2f6bffaee57fb, 3 hops\n",
      "1 sidecar, 2026-11-25T23:51:01.638Z; 20 ms; 694 B sent, 4.83 KiB received; ok; \(logs)/sleep.log:60\n",
      "2 gateway, +3 ms; 17 ms; 694 B sent, 4.83 KiB received; ok; \(logs)/sni-gateway.log:2  (this line)\n",
      "3 sni-proxy, -658 ms; 17 ms; 177 B sent, 4.83 KiB received; 200 ok; \(logs)/sni-proxy.log:2\n",
      "  time          mesh 3 ms: in the sidecar and on the way to the gateway\n", "gateway 0 ms: in the gateway\n",
      "external 17 ms: from the sni-proxy on, with its own share\n",
      "  clocks        starts seem to differ by sni-proxy -658 ms",
      "  line          \(logs)/sni-gateway.log:2\n                [2026-11-25T23:51:01.641Z]",
      "  hop 1         \(logs)/sleep.log:60\n                [2026-11-25T23:51:01.638Z]",
      "  hop 3         \(logs)/sni-proxy.log:2\n                127.0.0.1 [25/Nov/2026:23:51:01 +0000]",
    ] {
      #expect(output.contains(part), "\(part)\n--- in\n\(output)")
    }
  }

  @Test("the time of each way is split, and its end told, as report journeys does")
  func sameSplit() throws {
    let session = try Session()
    defer { session.remove() }
    let ways = try session.run(Self.fill + "gatewatch report journeys --format ndjson").split(separator: "\n").map {
      try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
    }
    #expect(ways.count > 30)
    // A kind of way each; all of them would start the program for each.
    var kinds: Set<String> = []
    for way in ways where kinds.insert("\(way["way"] ?? "")\(way["outcome"] ?? "")\(way["path"] ?? "")").inserted {
      let log = try #require(way["log"] as? String)
      let answer = try json(session, "gatewatch explain \(log):\(way["line"] ?? 0) --format json")
      let flow = try #require((answer["flows"] as? [[String: Any]])?.first)
      let journey = try #require(flow["journey"] as? [String: Any])
      #expect(journey["id"] as? String == way["journey"] as? String)
      for part in ["mesh_ms", "retried_ms", "gateway_ms", "external_ms"] {
        #expect(journey[part] as? Int == way[part] as? Int, "\(part) of \(way["chain"] ?? "")")
      }
      let end = try #require(journey["end"] as? [String: Any])
      for part in ["outcome", "reason", "host"] {
        #expect(end[part] as? String == way[part] as? String, "\(part) of \(way["chain"] ?? "")")
      }
      #expect(end["port"] as? Int == way["port"] as? Int, "port of \(way["chain"] ?? "")")
      let hops = try #require(journey["hops"] as? [[String: Any]])
      #expect(hops.compactMap { $0["role"] as? String }.joined(separator: " > ") == way["way"] as? String)
      #expect(hops.allSatisfy { ($0["evidence"] as? [String: Any])?["state"] as? String == "found" })
    }
    #expect(kinds.count >= 6)
  }

  @Test("the share of the gateway itself is told where its line says when the destination's answer began")
  func upstreamTime() throws {
    let session = try Session()
    defer { session.remove() }
    let output = try session.run(
      "gatewatch ingest --join-hops SampleLogs/demo > i.txt; gatewatch explain envoy-sidecars.log:3")
    #expect(
      output.contains(
        "external 120 ms: from the gateway on, with its own share; the destination's answer began after 119 ms by the gateway's measure"
      ), "\(output)")
  }

  @Test(
    "a finding shows its first, last and largest flows, and the lines of their ways; kept ones when the logs have gone")
  func findings() throws {
    let session = try Session()
    defer { session.remove() }
    let finding = "blocked:10.88.0.11:denied-tls.example:443"
    let before = try session.run(
      Self.fill + "gatewatch alert --blocked-threshold 1 > a.txt\ngatewatch explain \(finding)")
    #expect(before.contains("  hop 1         \(Self.logs)/sleep.log:47\n"), "\(before)")
    let after = try session.run("rm -r \(Self.logs)\ngatewatch explain \(finding)")
    #expect(
      after.contains("  line          \(Self.logs)/gateway.log:18, as kept in the database (log gone"), "\(after)")
    #expect(after.contains("  hop 1         \(Self.logs)/sleep.log:47, as kept in the database (log gone"), "\(after)")
  }

  @Test("the largest flow of a finding is shown though it is neither among the first nor the last")
  func largest() throws {
    let session = try Session()
    defer { session.remove() }
    let lines = (0..<20).map { second in
      "[2026-11-02T09:00:\(second < 10 ? "0" : "")\(second).000Z] \"- - -\" 0 - - - \"-\" 100 \(second == 9 ? 5_000_000 : 200) 10 - \"-\" \"-\" \"-\" \"-\" \"203.0.113.10:443\" PassthroughCluster 10.80.3.6:59668 203.0.113.10:443 10.80.3.6:\(50_000 + second) - -\n"
    }
    try session.write(lines.joined(), to: "sidecar.log")
    let finding = "passthrough:10.80.3.6:203.0.113.10:443"
    let answer = try json(
      session,
      "gatewatch ingest sidecar.log > i.txt; gatewatch alert > a.txt; gatewatch explain \(finding) --format json")
    let flows = try #require(answer["flows"] as? [[String: Any]])
    #expect(flows.count == 7)
    #expect(
      flows.filter { $0["is_largest"] as? Bool == true }.compactMap { ($0["flow"] as? [String: Any])?["line"] as? Int }
        == [10])
    let text = try session.run("rm sidecar.log; gatewatch explain \(finding)")
    #expect(text.contains("(the largest): TCP"), "\(text)")
    #expect(text.components(separatedBy: "as kept in the database").count == 8, "\(text)")
  }
}
