import Foundation
import Testing

/// What only the last proxy of a way sees - the host inside a tunnel, a refusal, a name that nobody knows - in every answer, as
/// built: in the formats of Istio's tasks, where nginx and Squid log no client port, and in formats that do.
@Suite struct LastHopTests {
  private static let policy = """
    mesh: { internal: [10.80.0.0/16, "*.svc.cluster.local"] }
    gateways: [ { name: egress, addresses: [10.80.3.232] } ]
    sni_proxies: [ { name: sni-proxy, addresses: [127.0.0.1] } ]
    forward_proxies: [ { name: squid, addresses: [10.80.2.87] } ]

    """
  private static let nginx = """
    log_format ports '$remote_addr:$remote_port $msec [$ssl_preread_server_name] $status $bytes_sent $bytes_received $session_time';

    """
  private static let squid =
    "logformat ports %ts.%03tu %6tr %>a:%>p %Ss/%03>Hs %<st %rm %ru %[un %Sh/%<a %mt\n"

  /// Ten ways of the client 10.80.3.11, five seconds each: five through gateway and SNI proxy, five through Squid.
  private struct Scene {
    var hasPorts: Bool
    var sidecar = ""
    var gateway = ""
    var sniProxy = ""
    var squid = ""
    private var count = 0

    init(hasPorts: Bool) {
      self.hasPorts = hasPorts
      tunnel("www.wild.example", status: 200, received: 9000)
      tunnel("down.wild.example", status: 502, received: 0)
      tunnel("nosuch.wild.example", status: 500, received: 0)
      tunnel("secret.wild.example", status: 403, received: 0)
      tunnel("docs.wild.example", status: 200, received: 7000)
      connect("www.far.example", "TCP_TUNNEL/200", logged: 166_076, received: 166_076, "HIER_DIRECT/203.0.113.14")
      connect("games.far.example", "TCP_DENIED/403", logged: 3903, received: 3903, "HIER_NONE/-")
      // Squid logs no size of an answer that it made itself because nobody could be reached.
      connect("gone.far.example", "NONE_NONE/503", logged: 0, received: 3310, "HIER_NONE/-")
      connect("docs.far.example", "TCP_TUNNEL/200", logged: 20_076, received: 20_076, "HIER_DIRECT/203.0.113.15")
      connect("games.far.example", "TCP_DENIED/403", logged: 3905, received: 3905, "HIER_NONE/-")
    }

    private mutating func time() -> (text: String, endMs: Int) {
      count += 1
      let ends = 1_793_617_200_000 + 5_000 * count
      return (String(format: "2026-11-02T11:00:%02d.", 5 * count), ends)
    }

    private func envoy(_ start: String, _ sent: Int, _ received: Int, _ ms: Int, _ rest: String) -> String {
      "[\(start)Z] \"- - -\" 0 - \"-\" \"-\" \(sent) \(received) \(ms) - \"-\" \"-\" \"-\" \"-\" \(rest) -\n"
    }

    private mutating func tunnel(_ name: String, status: Int, received: Int) {
      let (at, ends) = time()
      let (out, inner) = (48_000 + count, 49_000 + count)
      let sent = received > 0 ? 932 : 517
      sidecar += envoy(
        at + "000", sent, received, 640,
        "\"10.80.3.232:8443\" outbound|443||istio-egressgateway.istio-system.svc.cluster.local 10.80.3.11:\(out) 203.0.113.30:443 10.80.3.11:44674 \(name)"
      )
      gateway += envoy(
        at + "003", sent, received, 632,
        "\"127.0.0.1:8443\" outbound|8443||sni-proxy.local 127.0.0.1:\(inner) 10.80.3.232:8443 10.80.3.11:\(out) \(name)"
      )
      let end = Double(ends + 634) / 1000
      sniProxy +=
        hasPorts
        ? String(
          format: "127.0.0.1:%d %.3f [%@] %d %d %d 0.631\n", inner, end, name as NSString, status, received, sent - 517)
        : "127.0.0.1 [02/Nov/2026:11:00:\(String(format: "%02d", 5 * count)) +0000] TCP [\(name)]\(status) \(received) \(sent - 517) 0.631\n"
    }

    private mutating func connect(_ name: String, _ result: String, logged: Int, received: Int, _ peer: String) {
      let (at, ends) = time()
      let out = 48_000 + count
      sidecar += envoy(
        at + "000", 898, received, 354,
        "\"10.80.2.87:3128\" outbound|3128||my-company-proxy.com 10.80.3.11:\(out) 10.80.2.87:3128 10.80.3.11:44690 -")
      let port = hasPorts ? ":\(out)" : ""
      squid += String(
        format: "%.3f    346 10.80.3.11%@ %@ %d CONNECT %@:443 - %@ -\n", Double(ends + 350) / 1000, port as NSString,
        result as NSString, logged, name as NSString, peer as NSString)
    }
  }

  private func filled(_ hasPorts: Bool) throws -> Session {
    let session = try Session()
    let scene = Scene(hasPorts: hasPorts)
    for (text, file) in [
      (Self.policy, "p.yaml"), (Self.nginx, "nginx.conf"), (Self.squid, "squid.conf"), (scene.sidecar, "sidecar.log"),
      (scene.gateway, "gateway.log"), (scene.sniProxy, "sni-proxy.log"), (scene.squid, "squid.log"),
    ] { try session.write(text, to: file) }
    let formats = hasPorts ? ("--log-format @nginx.conf", "--log-format @squid.conf") : ("", "")
    let told = try session.run(
      """
      gatewatch ingest --policy p.yaml sidecar.log gateway.log
      gatewatch ingest --policy p.yaml \(formats.0) sni-proxy.log
      gatewatch ingest --policy p.yaml \(formats.1) squid.log
      """)
    #expect(told.contains("10 lines read = 10 stored") || told.contains("15 lines read = 15 stored"), "\(told)")
    return session
  }

  private func rows(_ session: Session, _ report: String) throws -> [[String: Any]] {
    try session.run("gatewatch report \(report) --format ndjson").split(separator: "\n").map {
      try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any], "\($0)")
    }
  }

  /// Some columns of each row, sorted.
  private func lines(_ session: Session, _ report: String, _ columns: String...) throws -> [String] {
    try rows(session, report).map { row in
      columns.map { "\(row[$0] ?? "?")".replacing("<null>", with: "-") }.joined(separator: " ")
    }.sorted()
  }

  private static let failures = [
    "failed connection-failure down.wild.example 10.80.3.11 sni-proxy 1",
    "failed connection-failure gone.far.example 10.80.3.11 forward-proxy 1",
    "failed name-unresolved nosuch.wild.example 10.80.3.11 sni-proxy 1",
  ]
  private static let refusals = [
    "nginx-access secret.wild.example 10.80.3.11 sni-proxy 1",
    "squid-denied games.far.example 10.80.3.11 forward-proxy 2",
  ]

  @Test(
    "refusals and failures of the last hop are found by the host that was wanted, and by who sent it",
    arguments: [false, true])
  func found(hasPorts: Bool) throws {
    let session = try filled(hasPorts)
    defer { session.remove() }
    #expect(try lines(session, "failed", "outcome", "reason", "host", "source", "role", "flows") == Self.failures)
    #expect(try lines(session, "blocked", "reason", "host", "source", "role", "flows") == Self.refusals)
    // The source that was asked for is the one that sent it, not the gateway that handed it on.
    #expect(
      try lines(session, "failed --source 10.80.3.11", "outcome", "reason", "host", "source", "role", "flows")
        == Self.failures)
    #expect(try lines(session, "blocked --source 10.80.3.12", "host") == [])
    #expect(try lines(session, "blocked --host 'secret.*'", "host", "source") == ["secret.wild.example 10.80.3.11"])
  }

  @Test("hosts, sources and timeline name who sent it, and not the proxy that handed it on", arguments: [false, true])
  func sent(hasPorts: Bool) throws {
    let session = try filled(hasPorts)
    defer { session.remove() }
    #expect(
      try lines(session, "sources", "source", "flows", "hosts", "blocked", "failed", "seen_by") == [
        "10.80.3.11 10 9 3 3 forward-proxy,sni-proxy"
      ])
    #expect(Set(try lines(session, "hosts", "sources")) == ["1"])
    #expect(try lines(session, "hosts --source 10.80.3.11", "host").count == 9)
    #expect(try lines(session, "timeline --source 10.80.3.11", "flows") == ["10"])
    // Who came is still to be found: five ways came out of the gateway's pod.
    #expect(try lines(session, "timeline --source 127.0.0.1", "flows") == ["5"])
    #expect(try lines(session, "flows --source 127.0.0.1", "id").count == 5)
    #expect(try lines(session, "timeline --source 10.80.3.12", "flows") == [])
    let alert = try session.run("gatewatch alert --blocked-threshold 1 --format json || true")
    #expect(
      alert.contains(#""host":"secret.wild.example","port":null,"sources":["127.0.0.1"],"senders":["10.80.3.11"]"#),
      "\(alert)")
  }

  @Test("where the log of the hop before was not read, who came is named, until it is read")
  func notSent() throws {
    let session = try Session()
    defer { session.remove() }
    let scene = Scene(hasPorts: true)
    for (text, file) in [
      (Self.policy, "p.yaml"), (Self.nginx, "nginx.conf"), (scene.sidecar, "sidecar.log"),
      (scene.gateway, "gateway.log"), (scene.sniProxy, "sni-proxy.log"),
    ] { try session.write(text, to: file) }
    func sources(after file: String, _ format: String = "") throws -> [String] {
      _ = try session.run("gatewatch ingest --policy p.yaml \(format) \(file)")
      return try lines(session, "sources --host '*.wild.example'", "source", "flows", "seen_by")
    }
    #expect(try sources(after: "sni-proxy.log", "--log-format @nginx.conf") == ["127.0.0.1 5 sni-proxy"])
    // The sidecar's log alone does not reach the SNI proxy's.
    #expect(try sources(after: "sidecar.log").contains("127.0.0.1 5 sni-proxy"))
    #expect(try sources(after: "gateway.log") == ["10.80.3.11 5 sni-proxy"])
    #expect(try session.run("gatewatch db check").contains("no damage found"))
  }

  @Test("each way is counted once, at its last hop, in every sum", arguments: [false, true])
  func once(hasPorts: Bool) throws {
    let session = try filled(hasPorts)
    defer { session.remove() }
    let summary = try lines(session, "summary", "part", "what", "flows")
    for part in [
      "total flows 10", "outcome ok 4", "outcome blocked 3", "outcome failed 3", "role forward-proxy 5",
      "role sni-proxy 5", "not counted earlier hops 15",
    ] { #expect(summary.contains(part), "\(part) in \(summary)") }
    #expect(
      try lines(session, "hosts", "host", "flows", "ok", "blocked", "failed") == [
        "docs.far.example 1 1 0 0", "docs.wild.example 1 1 0 0", "down.wild.example 1 0 0 1",
        "games.far.example 2 0 2 0", "gone.far.example 1 0 0 1", "nosuch.wild.example 1 0 0 1",
        "secret.wild.example 1 0 1 0", "www.far.example 1 1 0 0", "www.wild.example 1 1 0 0",
      ])
    #expect(
      try lines(session, "latency", "host", "vantage", "flows") == [
        "docs.far.example forward-proxy 1", "docs.wild.example sni-proxy 1", "down.wild.example sni-proxy 1",
        "www.far.example forward-proxy 1", "www.wild.example sni-proxy 1",
      ])
    #expect(try lines(session, "bypass", "host") == [])
    // One row for each hop: 25 lines of 10 ways.
    #expect(try lines(session, "flows", "id").count == 25)
  }

  @Test(
    "journeys names host, source and end of each way; the view journey_flow says the same", arguments: [false, true])
  func journeys(hasPorts: Bool) throws {
    let session = try filled(hasPorts)
    defer { session.remove() }
    #expect(
      try lines(session, "journeys", "source", "host", "way", "outcome", "reason", "external_ms") == [
        "10.80.3.11 docs.far.example sidecar > forward-proxy ok - 346",
        "10.80.3.11 docs.wild.example sidecar > gateway > sni-proxy ok - 631",
        "10.80.3.11 down.wild.example sidecar > gateway > sni-proxy failed connection-failure 631",
        "10.80.3.11 games.far.example sidecar > forward-proxy blocked squid-denied -",
        "10.80.3.11 games.far.example sidecar > forward-proxy blocked squid-denied -",
        "10.80.3.11 gone.far.example sidecar > forward-proxy failed connection-failure -",
        "10.80.3.11 nosuch.wild.example sidecar > gateway > sni-proxy failed name-unresolved -",
        "10.80.3.11 secret.wild.example sidecar > gateway > sni-proxy blocked nginx-access -",
        "10.80.3.11 www.far.example sidecar > forward-proxy ok - 346",
        "10.80.3.11 www.wild.example sidecar > gateway > sni-proxy ok - 631",
      ])
    #expect(try lines(session, "journeys --outcome blocked", "host").count == 3)
    let counted = try session.run(
      """
      gatewatch query --format csv -e "select count(*), sum(source_proven), sum(last_flow in (select id from counted_flow))
        from journey_flow"
      """)
    #expect(counted.split(whereSeparator: \.isNewline).last == "10,10,10")
  }

  @Test("explain of a hop that saw nothing of it says how the way ended, and where", arguments: [false, true])
  func explained(hasPorts: Bool) throws {
    let session = try filled(hasPorts)
    defer { session.remove() }
    for (line, end) in [
      ("sidecar.log:2", "failed (connection-failure) as the sni-proxy saw it; to down.wild.example:443"),
      ("gateway.log:3", "failed (name-unresolved) as the sni-proxy saw it; to nosuch.wild.example:443"),
      ("sidecar.log:7", "blocked (squid-denied) as the forward-proxy saw it; to games.far.example:443"),
      ("sidecar.log:6", "ok as the forward-proxy saw it; to www.far.example:443"),
    ] {
      let text = try session.run("gatewatch explain \(line)")
      #expect(text.contains("  end           \(end), as the last hop says\n"), "\(line)\n\(text)")
    }
  }
}
