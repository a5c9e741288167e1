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

  @Test(
    "the view journey_flow says of every way what report journeys says",
    arguments: [
      "demo", "scenarios/walk-through", "scenarios/skipped-gateway-at-sni-proxy",
      "scenarios/wildcard-gateway-sni-proxy",
      "real-proxies/istio-1.3", "real-proxies/istio-1.23", "real-proxies/istio-json",
    ])
  func sameView(samples: String) throws {
    let session = try Session()
    defer { session.remove() }
    let sql = """
      select lower(hex(w.journey)) as journey, w.started_at_ms as started_at,
        s.shown_name as source,
        w.host, w.port, w.traffic, w.way, w.path, w.outcome, w.reason, w.bypass, w.hops, w.attempts, w.duration_ms,
        w.mesh_ms, w.retried_ms, w.gateway_ms, w.external_ms, w.bytes_sent as sent, w.bytes_received as received,
        w.chain, l.path as log, w.line
      from journey_flow w
      join named_source s on s.id = w.source_id
      left join log l on l.id = w.log_id
      order by w.started_at_ms, w.journey
      """
    try session.write(sql, to: "ways.sql")
    let formats = samples == "real-proxies/istio-json" ? " --log-format @SampleLogs/real-proxies/istio-json.conf" : ""
    func ways(_ output: String) throws -> [String] {
      try output.split(separator: "\n").map {
        var way = try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any], "\($0)")
        // As a time in one, as a number in the other.
        way["started_at"] = nil
        return way.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
      }
    }
    let report = try ways(
      session.run(
        "gatewatch ingest\(formats) SampleLogs/\(samples)/*.log > i.txt; gatewatch report journeys --format ndjson"))
    let view = try ways(session.run("gatewatch query -e \"$(cat ways.sql)\" --format ndjson"))
    #expect(!report.isEmpty && report == view, "\(samples)")
  }

  @Test("a sidecar straight before an SNI proxy is told as what the connection shows, never as a request id's word")
  func straightToTheSNIProxy() throws {
    let session = try Session()
    defer { session.remove() }
    let scenario = "SampleLogs/scenarios/skipped-gateway-at-sni-proxy"
    let way = try #require(
      try rows(
        session,
        "gatewatch ingest --policy \(scenario)/policy.yaml \(scenario)/*.log > i.txt; gatewatch report journeys"
      ).first)
    #expect(
      way["chain"] as? String
        == "sidecar 120 ms 640/5120 B > sni-proxy (straight from a sidecar) 118 ms 640/5120 B")
    let text = try session.run("gatewatch explain \(scenario)/sni-proxy.log:1")
    #expect(
      text.contains("straight from a sidecar, with no gateway between, as the connection shows"), "\(text)")
    #expect(!text.contains("request id"), "\(text)")
    let json = try session.run("gatewatch explain \(scenario)/sni-proxy.log:1 --format json")
    #expect(json.contains("\"by_request_id_alone\":false"), "\(json)")
    #expect(json.contains("\"past_gateway\":true"), "\(json)")
  }

  @Test("hops stand from the client outwards, whatever their clocks say, and sum up to their way")
  func hops() throws {
    let session = try Session()
    defer { session.remove() }
    _ = try rows(session, Self.fill + "gatewatch report journeys")
    func lines(_ command: String) throws -> [String] {
      try session.run(command + " --format ndjson").split(separator: "\n").map(String.init)
    }
    for report in ["hops", "hops --since 2026-11-25T23:51:01Z", "flows"] {
      let all = try lines("gatewatch report \(report)")
      for limit in [1, 5, all.count] {
        #expect(try lines("gatewatch report \(report) --limit \(limit)") == Array(all.prefix(limit)), "\(report)")
      }
    }
    #expect(try session.run("gatewatch report flows --limit 5").contains("only the first 5 are shown"))
  }
}
