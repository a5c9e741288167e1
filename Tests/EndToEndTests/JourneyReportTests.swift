import Foundation
import Testing

/// `gatewatch report journeys` and `report hops`, as built, on what real proxies wrote.
@Suite struct JourneyReportTests {
  private static let fill = "gatewatch ingest SampleLogs/real-proxies/istio-1.23 > i.txt\n"

  private func rows(_ session: Session, _ command: String) throws -> [[String: Any]] {
    try session.run(command + " --format ndjson").split(separator: "\n").map {
      try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any], "\($0)")
    }
  }

  private func row(_ rows: [[String: Any]], host: String) throws -> [String: Any] {
    try #require(rows.first { $0["host"] as? String == host }, "\(host)")
  }

  @Test("each way is one row that says where the time went: mesh, gateway, destination")
  func whereTheTimeWent() throws {
    let session = try Session()
    defer { session.remove() }
    let rows = try rows(session, Self.fill + "gatewatch report journeys")
    let three = try row(rows, host: "c.crowd.wild.example")
    #expect(three["way"] as? String == "sidecar > gateway > sni-proxy")
    #expect(three["duration_ms"] as? Int == 30)
    #expect(three["mesh_ms"] as? Int == 2)
    #expect(three["gateway_ms"] as? Int == 2)
    #expect(three["external_ms"] as? Int == 26)
    #expect(
      three["chain"] as? String
        == "sidecar 30 ms 694/4942 B > gateway 28 ms 694/4942 B > sni-proxy 26 ms 177/4942 B")

    let two = try row(rows, host: "proxied.example")
    #expect(two["way"] as? String == "sidecar > gateway")
    #expect(two["mesh_ms"] as? Int == 1 && two["external_ms"] as? Int == 2 && two["gateway_ms"] is NSNull)
    // A call within the mesh has no part outside.
    let inner = try row(rows, host: "reviews.default.svc.cluster.local")
    #expect(inner["mesh_ms"] as? Int == 1 && inner["external_ms"] is NSNull)
  }

  @Test(
    "what only the last hop shows belongs to the way: a refusal at the gateway, a failure at the SNI proxy or Squid")
  func outcomes() throws {
    let session = try Session()
    defer { session.remove() }
    let rows = try rows(session, Self.fill + "gatewatch report journeys")
    for (host, outcome, reason) in [
      ("denied-tls.example", "blocked", "rbac-tcp"), ("refused.wild.example", "failed", "connection-failure"),
      ("nosuch.wild.example", "failed", "name-unresolved"), ("forbidden.example", "blocked", "squid-denied"),
    ] {
      let found = try row(rows, host: host)
      #expect(found["outcome"] as? String == outcome && found["reason"] as? String == reason, "\(host)")
      #expect(outcome != "blocked" || (found["external_ms"] is NSNull && found["gateway_ms"] is Int), "\(host)")
    }
    // The host is the last hop's: of a tunnel through Squid, the one that Squid was asked for.
    #expect(try row(rows, host: "tunnel.example")["way"] as? String == "sidecar > forward-proxy")
  }

  @Test("hops stand from the client outwards, whatever their clocks say, and sum up to their way")
  func hops() throws {
    let session = try Session()
    defer { session.remove() }
    let ways = try rows(session, Self.fill + "gatewatch report journeys")
    let hops = try rows(session, "gatewatch report hops")
    #expect(hops.count == ways.compactMap { $0["hops"] as? Int }.reduce(0, +))
    for way in ways {
      let own = hops.filter { $0["journey"] as? String == way["journey"] as? String }
      #expect(own.compactMap { $0["hop"] as? Int } == Array(1...max(own.count, 1)))
      #expect(own.compactMap { $0["role"] as? String }.joined(separator: " > ") == way["way"] as? String)
    }
    // nginx logs the end of a connection in whole seconds: its start seems to lie before the gateway's.
    let name = hops.first { $0["host"] as? String == "a.wild.example" && $0["role"] as? String == "sni-proxy" }
    #expect(name?["hop"] as? Int == 3 && (name?["before_ms"] as? Int ?? 0) < 0)
  }

  @Test("a repeated attempt is part of the way, and its time is no part of the mesh's or the destination's")
  func repeated() throws {
    let session = try Session()
    defer { session.remove() }
    func line(_ second: String, _ status: String, _ flags: String, _ duration: Int, _ upstream: String, _ pair: String)
      -> String
    {
      "[2026-11-02T09:00:\(second)Z] \"GET /a HTTP/1.1\" \(status) \(flags) via_upstream - \"-\" 0 20 \(duration) \(duration) \"-\" \"curl/8\" \"0b1f6d1e-8f0e-4a77-9d55-3f0f6f0a0001\" \"a.example\" \"\(upstream)\" outbound|80||a.example \(pair) - -\n"
    }
    try session.write(
      line(
        "00.000", "200", "-", 100, "10.80.3.232:8080", "10.80.3.11:40002 203.0.113.7:80 10.80.3.11:40000"
      ).replacing("outbound|80||a.example", with: "outbound|80||istio-egressgateway.istio-system.svc.cluster.local"),
      to: "sidecar.log")
    try session.write(
      line("00.001", "503", "UF", 30, "203.0.113.7:80", "10.80.3.232:50001 10.80.3.232:8080 10.80.3.11:40001")
        + line("00.040", "200", "-", 55, "203.0.113.7:80", "10.80.3.232:50002 10.80.3.232:8080 10.80.3.11:40002"),
      to: "gateway.log")
    let rows = try rows(session, "gatewatch ingest *.log > i.txt; gatewatch report journeys")
    let way = try #require(rows.first)
    #expect(rows.count == 1)
    #expect(way["way"] as? String == "sidecar > gateway > gateway" && way["attempts"] as? Int == 2)
    #expect(way["outcome"] as? String == "ok")
    #expect(way["retried_ms"] as? Int == 30 && way["mesh_ms"] as? Int == 15 && way["external_ms"] as? Int == 55)
  }

  @Test("filters mean any hop; a limit takes the earliest ways and says that there are more")
  func limits() throws {
    let session = try Session()
    defer { session.remove() }
    let all = try rows(session, Self.fill + "gatewatch report journeys")
    let blocked = try rows(session, "gatewatch report journeys --outcome blocked")
    #expect(blocked.map { $0["outcome"] as? String } == Array(repeating: "blocked", count: blocked.count))
    #expect(blocked.count == all.count { $0["outcome"] as? String == "blocked" })
    let host = try rows(session, "gatewatch report journeys --host '*.crowd.wild.example'")
    #expect(host.count == all.count { ($0["host"] as? String ?? "").hasSuffix(".crowd.wild.example") })
    let since = try rows(session, "gatewatch report journeys --since 2026-11-25T23:51:01Z")
    #expect(
      since.compactMap { $0["journey"] as? String }
        == all.filter { ($0["started_at"] as? String ?? "") >= "2026-11-25T23:51:01" }.compactMap {
          $0["journey"] as? String
        })
    let first = try rows(session, "gatewatch report journeys --limit 3")
    #expect(first.compactMap { $0["journey"] as? String } == all.prefix(3).compactMap { $0["journey"] as? String })
    let table = try session.run("gatewatch report journeys --limit 3")
    #expect(table.contains("only the first 3 are shown"), "\(table)")
    #expect(!(try session.run("gatewatch report journeys --limit \(all.count)")).contains("only the first"))
  }
}
