import Foundation
import Testing

/// What a sidecar handed on and no line of a gateway tells of, in reports, explanations, alerts and requirements, as built.
@Suite struct MissingHopTests {
  private static let policy = """
    mesh: { internal: [10.80.0.0/16] }
    pods: [ { name: sleep, addresses: [10.80.3.11], sidecar: true } ]
    gateways:
      - { name: egress, hosts: [istio-egressgateway.istio-system.svc.cluster.local], addresses: [10.80.3.232] }

    """

  private static func time(_ second: Int) -> String {
    String(format: "2026-11-02T%02d:%02d:%02d", 9 + second / 3600, second / 60 % 60, second % 60)
  }

  /// A sidecar's line towards the gateway, `second` seconds after nine.
  private func sidecar(_ second: Int, status: Int = 200, flags: String = "-", details: String = "via_upstream")
    -> String
  {
    "[\(Self.time(second)).000Z] \"GET /\(second) HTTP/1.1\" \(status) \(flags) \(details) - \"-\" 0 20 9 8 \"-\" \"curl/8\" \"0b1f6d1e-8f0e-4a77-9d55-3f0f6f0\(100_000 + second)\" \"a.example\" \"10.80.3.232:8080\" outbound|80||istio-egressgateway.istio-system.svc.cluster.local 10.80.3.11:\(20_000 + second) 203.0.113.7:80 10.80.3.11:\(40_000 + second) - -\n"
  }

  /// The gateway's line of the same request, by a clock that is `skew` seconds ahead.
  private func gateway(_ second: Int, skew: Int = 0, port: Int? = nil, id: String? = nil, path: String? = nil) -> String
  {
    "[\(Self.time(second + skew)).002Z] \"GET /\(path ?? "\(second)") HTTP/1.1\" 200 - via_upstream - \"-\" 0 20 6 5 \"10.80.3.11\" \"curl/8\" \"\(id ?? "0b1f6d1e-8f0e-4a77-9d55-3f0f6f0\(100_000 + second)")\" \"a.example\" \"203.0.113.7:80\" outbound|80||a.example 10.80.3.232:\(30_000 + second) 10.80.3.232:8080 10.80.3.11:\(port ?? 20_000 + second) - -\n"
  }

  private func rows(_ output: String) throws -> [[String: Any]] {
    try output.split(separator: "\n").map {
      try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any], "\($0)")
    }
  }

  /// Every ten seconds a request, for twenty minutes; of those in `lost` the gateway has no line.
  private func scene(_ session: Session, lost: Set<Int>, gatewayUntil: Int = 1200) throws {
    try session.write(Self.policy, to: "egress.yaml")
    let seconds = Array(stride(from: 0, through: 1200, by: 10))
    try session.write(seconds.map { sidecar($0) }.joined(), to: "sidecar.log")
    try session.write(
      seconds.filter { !lost.contains($0) && $0 <= gatewayUntil }.map { gateway($0) }.joined(), to: "gateway.log")
  }

  @Test("a line that a gateway's whole log does not tell of is missing there: the report, explain and coverage say so")
  func missing() throws {
    let session = try Session()
    defer { session.remove() }
    try scene(session, lost: [600])
    let found = try rows(
      session.run("gatewatch ingest --policy egress.yaml *.log > i.txt; gatewatch report missing-hops --format ndjson"))
    let row = try #require(found.first)
    #expect(found.count == 1)
    #expect(row["kind"] as? String == "next-hop-missing" && row["confidence"] as? String == "likely", "\(row)")
    #expect(row["next_hop"] as? String == "gateway" && row["address"] as? String == "10.80.3.232")
    #expect(row["flows"] as? Int == 1 && row["host"] as? String == "a.example" && row["source"] as? String == "sleep")
    #expect(row["evidence"] as? String == "gateway.log was read for this time; none of its lines could be it")
    let explained = try session.run("gatewatch explain sidecar.log:61")
    #expect(
      explained.contains("next hop      next-hop-missing: it was handed on to the gateway at 10.80.3.232"),
      "\(explained)")
    #expect(
      explained.contains(
        "gateway.log holds lines of 2026-11-02T09:09:50.008Z and 2026-11-02T09:10:10.008Z, and none that is joined"),
      "\(explained)")
    #expect(!(try session.run("gatewatch explain sidecar.log:60")).contains("next hop      "))
    let coverage = try rows(session.run("gatewatch report coverage --format ndjson"))
    let covered = try #require(coverage.first { $0["log"] as? String == "gateway.log" })
    #expect(covered["unmet"] as? Int == 1 && covered["signs"] as? String == "next-hop-missing", "\(covered)")
    // It was read: no gap of coverage.
    #expect(!(try session.run("gatewatch report bypass")).contains("whose log was not read"))
    let required = try session.run(
      """
      gatewatch report bypass --require-coverage next-hops=read > o.txt; echo "exit code $?"
      gatewatch report bypass --require-coverage next-hops=found 2>&1 > o.txt; echo "exit code $?"
      """)
    #expect(
      required
        == "exit code 0\ngatewatch: coverage: 1 flow handed on to the gateway at 10.80.3.232, whose log was read and does not tell of it\nexit code 3\n",
      "\(required)")
  }

  @Test(
    "without the gateway's log it is a gap of coverage, named in every answer about bypass, and a requirement fails")
  func notRead() throws {
    let session = try Session()
    defer { session.remove() }
    try scene(session, lost: [])
    _ = try session.run("gatewatch ingest --policy egress.yaml sidecar.log > i.txt")
    let found = try rows(session.run("gatewatch report missing-hops --format ndjson"))
    #expect(found.count == 1 && found.first?["kind"] as? String == "next-hop-not-read", "\(found)")
    #expect(found.first?["flows"] as? Int == 121 && found.first?["confidence"] as? String == "certain")
    let sentence = "121 flows were handed on to a gateway or proxy whose log was not read for that time"
    for report in ["bypass", "summary", "unproven"] {
      #expect(try session.run("gatewatch report \(report)").contains(sentence), "\(report)")
    }
    let coverage = try rows(session.run("gatewatch report coverage --format ndjson"))
    let row = try #require(coverage.first { $0["log"] as? String == "no log of 10.80.3.232" }, "\(coverage)")
    #expect(row["unmet"] as? Int == 121 && row["signs"] as? String == "next-hop-not-read")
    #expect(row["roles"] as? String == "gateway" && row["read"] is NSNull)
    #expect(
      try session.run("gatewatch explain sidecar.log:3").contains(
        "next-hop-not-read: it was handed on to the gateway at 10.80.3.232, whose log was not read for this time"))
    let required = try session.run(
      """
      gatewatch report bypass --require-coverage next-hops=read 2>&1 > o.txt; echo "exit code $?"
      gatewatch report bypass --require-coverage role=gateway,next-hops=read 2>&1 > o.txt; echo "exit code $?"
      gatewatch alert --require-coverage next-hops=read; echo "exit code $?"
      """)
    #expect(
      required.hasPrefix(
        "gatewatch: coverage: 121 flows handed on to the gateway at 10.80.3.232, whose log was not read for that time\nexit code 3\ngatewatch: coverage: no gateway log was read\nexit code 3\n"
      ), "\(required)")
    // The alert tells the new host, and what it rests on.
    #expect(
      required.contains("  read: 1 log (1 sidecar), 121 lines read") && required.contains(sentence), "\(required)")
  }

  @Test("a line whose client a header alone names may be the next hop: nothing is called lost on its account")
  func forwardedClient() throws {
    let session = try Session()
    defer { session.remove() }
    try scene(session, lost: [600])
    // The gateway believes X-Forwarded-For, and logs who that names in place of who connected.
    let forwarded = gateway(600).replacingOccurrences(of: " 10.80.3.11:20600 - -", with: " 1.2.3.4:0 - -")
    #expect(forwarded.contains("1.2.3.4:0"))
    try session.write(forwarded, to: "forwarded.log")
    let found = try rows(
      session.run("gatewatch ingest --policy egress.yaml *.log > i.txt; gatewatch report missing-hops --format ndjson"))
    let row = try #require(found.first)
    #expect(row["confidence"] as? String == "hint", "\(row)")
    #expect(
      (row["evidence"] as? String)?.hasSuffix("one of its lines without an earlier hop may be it, none is shown to be")
        == true, "\(row)")
    let explained = try session.run("gatewatch explain sidecar.log:61")
    #expect(
      explained.contains("forwarded.log:1, of which no earlier hop is known, may be it: nothing shows that it is"),
      "\(explained)")
  }

  @Test("where the gateway's log ends early, or has a gap, what was handed on then was not read")
  func partlyRead() throws {
    let session = try Session()
    defer { session.remove() }
    try scene(session, lost: [], gatewayUntil: 600)
    _ = try session.run("gatewatch ingest --policy egress.yaml *.log > i.txt")
    let early = try rows(session.run("gatewatch report missing-hops --format ndjson"))
    #expect(early.allSatisfy { $0["kind"] as? String == "next-hop-not-read" }, "\(early)")
    #expect(early.compactMap { $0["flows"] as? Int }.reduce(0, +) == 60, "\(early)")
    // Not one of half an hour, but everything in between is lost.
    let seconds = Array(stride(from: 0, through: 3600, by: 10))
    try session.write(seconds.map { sidecar($0) }.joined(), to: "sidecar.log")
    try session.write(
      seconds.filter { $0 < 1200 || $0 > 2400 }.map { gateway($0) }.joined(), to: "gateway.log")
    let output = try session.run(
      """
      rm gatewatch.db; gatewatch ingest --policy egress.yaml *.log > i.txt
      gatewatch report missing-hops --format ndjson
      """)
    let gap = try rows(output)
    #expect(gap.allSatisfy { $0["kind"] as? String == "next-hop-not-read" }, "\(gap)")
    #expect(gap.compactMap { $0["flows"] as? Int }.reduce(0, +) == 121, "\(gap)")
    let bypass = try session.run("gatewatch report bypass")
    #expect(bypass.contains("1 log has gaps, the longest of 20 m 20 s (see: gatewatch report coverage)"), "\(bypass)")
    #expect(
      try session.run("gatewatch explain sidecar.log:181").contains(
        "it has a gap there (see: gatewatch report coverage)"))
  }

  @Test(
    "what was refused, never sent or got no connection misses no hop; nor does one of several requests on a known connection"
  )
  func refused() throws {
    let session = try Session()
    defer { session.remove() }
    try scene(session, lost: [])
    let denied =
      sidecar(605, status: 403, details: "rbac_access_denied_matched_policy[none]").replacing(
        "\"10.80.3.232:8080\"", with: "\"-\"")
    let unconnected = sidecar(
      615, status: 503, flags: "UF",
      details: "upstream_reset_before_response_started{connection_failure|delayed_connect_error:_Connection_refused}")
    try session.write(
      try String(contentsOf: session.folder.appending(path: "sidecar.log"), encoding: .utf8) + denied + unconnected,
      to: "sidecar.log")
    let output = try session.run(
      "gatewatch ingest --policy egress.yaml *.log > i.txt; gatewatch report missing-hops --format ndjson")
    #expect(output.isEmpty, "\(output)")
  }

  /// A gateway that feeds the SNI proxy in its own pod, and the proxies' lines of it; every ten seconds for ten minutes.
  private func loopbackScene(_ session: Session, proxyPods: [String], lost: Set<Int> = []) throws {
    try session.write(
      "mesh: { internal: [10.80.0.0/16] }\ngateways: [ { name: egress, addresses: [10.80.3.232] } ]\n",
      to: "egress.yaml")
    var gateway = ""
    var proxy = ""
    for second in stride(from: 0, through: 600, by: 10) {
      let name = "w\(second).wild.example"
      gateway +=
        "[\(Self.time(second)).100Z] \"- - -\" 0 - - - \"-\" 932 \(5000 + second) 50 - \"-\" \"-\" \"-\" \"-\" \"127.0.0.1:8443\" outbound|8443||sni-proxy.local 127.0.0.1:\(20_000 + second) 10.80.3.232:8443 10.80.3.11:\(40_000 + second) \(name) -\n"
      if lost.contains(second) { continue }
      let at = Self.time(second)
      proxy +=
        "127.0.0.1 [02/Nov/2026:\(at.suffix(8)) +0000] TCP [\(name)]200 \(5000 + second) 415 0.049\n"
    }
    for pod in ["egress-a/istio-proxy"] + proxyPods.map({ "\($0)/sni-proxy" }) {
      let folder = "pods/istio-system_" + pod.replacing("/", with: "_1/")
      try FileManager.default.createDirectory(
        at: session.folder.appending(path: folder), withIntermediateDirectories: true)
    }
    try session.write(gateway, to: "pods/istio-system_egress-a_1/istio-proxy/0.log")
    for pod in proxyPods { try session.write(proxy, to: "pods/istio-system_\(pod)_1/sni-proxy/0.log") }
    _ = try session.run("gatewatch ingest --policy egress.yaml pods > i.txt")
  }

  @Test("over loopback the next hop is the proxy in the same pod: another pod's log says nothing of it")
  func loopback() throws {
    let missing = try Session()
    defer { missing.remove() }
    try loopbackScene(missing, proxyPods: ["egress-a"], lost: [300])
    let found = try rows(missing.run("gatewatch report missing-hops --format ndjson"))
    #expect(found.map { $0["kind"] as? String } == ["next-hop-missing"], "\(found)")
    #expect(
      found.first?["host"] as? String == "w300.wild.example" && found.first?["next_hop"] as? String == "sni-proxy")
    #expect(
      try missing.run("gatewatch explain pods/istio-system_egress-a_1/istio-proxy/0.log:31").contains(
        "next-hop-missing: it was handed on to the sni-proxy at 127.0.0.1"))

    let elsewhere = try Session()
    defer { elsewhere.remove() }
    try loopbackScene(elsewhere, proxyPods: ["egress-b"])
    let unread = try rows(elsewhere.run("gatewatch report missing-hops --format ndjson"))
    #expect(unread.allSatisfy { $0["kind"] as? String == "next-hop-not-read" }, "\(unread)")
    #expect(unread.compactMap { $0["flows"] as? Int }.reduce(0, +) == 61, "\(unread)")
    #expect(
      try elsewhere.run("gatewatch explain pods/istio-system_egress-a_1/istio-proxy/0.log:31").contains(
        "next-hop-not-read: it was handed on to the sni-proxy at 127.0.0.1"))
  }

  @Test("coverage tells the loopback of one pod from that of another, by the pod or the log that speaks of it")
  func loopbackCoverage() throws {
    let session = try Session()
    defer { session.remove() }
    // The proxy of another pod was read, and those of three gateways were not.
    try loopbackScene(session, proxyPods: ["egress-b"])
    let first = try String(
      contentsOf: session.folder.appending(path: "pods/istio-system_egress-a_1/istio-proxy/0.log"), encoding: .utf8)
    try FileManager.default.createDirectory(
      at: session.folder.appending(path: "pods/istio-system_egress-c_1/istio-proxy"), withIntermediateDirectories: true)
    try session.write(
      first.replacing("10.80.3.232", with: "10.80.3.233"), to: "pods/istio-system_egress-c_1/istio-proxy/0.log")
    try session.write(first.replacing("10.80.3.232", with: "10.80.3.234"), to: "gateway.log")
    let missing = try rows(
      session.run(
        """
        gatewatch ingest --policy egress.yaml pods gateway.log > i.txt
        gatewatch report coverage --format ndjson
        """)
    )
    #expect(
      missing.map { "\($0["log"] ?? "") \($0["unmet"] ?? "")" }.filter { $0.hasPrefix("no log of 127") }.sorted() == [
        "no log of 127.0.0.1 in istio-system/egress-a 61", "no log of 127.0.0.1 in istio-system/egress-c 61",
      ], "\(missing)")
    // Where no pod is known, the log that speaks of a proxy tells it apart.
    let alone = try session.run(
      """
      rm gatewatch.db; mv gateway.log a.log; sed 's/3[.]234/3.235/' a.log > b.log
      gatewatch ingest --policy egress.yaml a.log b.log > i.txt
      gatewatch report coverage --format csv
      """)
    #expect(alone.contains("no log of 127.0.0.1 beside a.log,sni-proxy"), "\(alone)")
    #expect(alone.contains("no log of 127.0.0.1 beside b.log,sni-proxy"), "\(alone)")
  }

  @Test("a client on loopback, and one whose own log was read, are none without a log; what they sent stays unproven")
  func loopbackClients() throws {
    let session = try Session()
    defer { session.remove() }
    // The proxy alone: its clients are gateways in its pod, whose log is to be read.
    try loopbackScene(session, proxyPods: ["egress-a"])
    _ = try session.run(
      "rm gatewatch.db; gatewatch ingest --policy egress.yaml pods/istio-system_egress-a_1/sni-proxy > i.txt")
    #expect(try session.run("gatewatch report unlogged --format ndjson").isEmpty)
    let unproven = try rows(session.run("gatewatch report unproven --format ndjson"))
    #expect(unproven.compactMap { $0["flows"] as? Int }.reduce(0, +) == 61, "\(unproven.count)")
    #expect(unproven.allSatisfy { $0["proof"] as? String == "read the log of the hop before, in the same pod" })
    #expect(
      try session.run("gatewatch report bypass --require-coverage clients=logged > o.txt; echo \"exit code $?\"")
        == "exit code 0\n")
    // A gateway before an SNI proxy elsewhere has written lines, though none of this one.
    try session.write(gateway(10) + gateway(20), to: "gateway.log")
    try session.write(
      "10.80.3.232 [02/Nov/2026:09:00:15 +0000] TCP [a.wild.example]200 5120 640 0.118\n10.80.3.77 [02/Nov/2026:09:00:15 +0000] TCP [b.wild.example]200 5121 641 0.118\n",
      to: "sni.log")
    let clients = try rows(
      session.run(
        "rm gatewatch.db; gatewatch ingest --policy egress.yaml gateway.log sni.log > i.txt; gatewatch report unlogged --format ndjson"
      )
    ).compactMap { $0["client"] as? String }
    #expect(clients.sorted() == ["10.80.3.11", "10.80.3.77"], "\(clients)")
  }

  @Test(
    "explain says of each flow what the report says",
    arguments: [
      "scenarios/walk-through", "scenarios/skipped-sidecar-forged", "scenarios/declared-topology",
      "real-proxies/istio-1.3", "real-proxies/istio-1.23",
    ])
  func explained(samples: String) throws {
    let session = try Session()
    defer { session.remove() }
    let ids = try session.run(
      """
      gatewatch ingest SampleLogs/\(samples)/*.log > i.txt
      gatewatch query --format csv -e "select id, kind from missing_hop_flow union all
        select id, 'none' from judged_flow where next_hop_gap is null or id not in (select id from missing_hop_flow) order by id"
      """)
    for row in ids.split(whereSeparator: \.isNewline).dropFirst() {
      let parts = row.split(separator: ",").map(String.init)
      let text = try session.run("gatewatch explain \(parts[0])")
      let said = text.firstMatch(of: /next hop +(next-hop-[a-z-]+):/).map { String($0.1) } ?? "none"
      #expect(said == parts[1], "\(samples) \(text)")
    }
  }

  @Test("a gateway whose clock is wrong is still joined, and coverage and clocks say how far it is off")
  func skewedClock() throws {
    let session = try Session()
    defer { session.remove() }
    try session.write(Self.policy, to: "egress.yaml")
    let seconds = Array(stride(from: 0, through: 1200, by: 10))
    try session.write(seconds.map { sidecar($0) }.joined(), to: "sidecar.log")
    try session.write(seconds.map { gateway($0, skew: 1) }.joined(), to: "gateway.log")
    let coverage = try rows(
      session.run("gatewatch ingest --policy egress.yaml *.log > i.txt; gatewatch report coverage --format ndjson"))
    let later = try #require(coverage.first { $0["log"] as? String == "gateway.log" })
    #expect(later["clock_skew"] as? Int == 1002 && later["clock_against"] as? String == "sidecar.log", "\(later)")
    let earlier = try #require(coverage.first { $0["log"] as? String == "sidecar.log" })
    #expect(earlier["clock_skew"] as? Int == -1002 && earlier["clock_against"] as? String == "gateway.log")
    let clocks = try rows(session.run("gatewatch report clocks --format ndjson"))
    #expect(clocks.count == 1 && clocks.first?["skew_ms"] as? Int == 1002, "\(clocks)")
    #expect(try session.run("gatewatch report missing-hops --format ndjson").isEmpty)
    // The joined ways show durations, which no clock touches.
    let way = try #require(try rows(session.run("gatewatch report journeys --format ndjson")).first)
    #expect(way["mesh_ms"] as? Int == 3 && way["external_ms"] as? Int == 6, "\(way)")
  }
}
