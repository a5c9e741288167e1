import Foundation
import Testing

/// `gatewatch report suspicious`, its alert and its explanation, as built.
@Suite struct SuspiciousReportTests {
  private static let logs = "SampleLogs/real-proxies/istio-1.23"

  private static let policy = """
    mesh:
      internal: [10.80.0.0/16]
    gateways:
      - { name: egress, hosts: [egress.istio-system.svc.cluster.local], addresses: [10.80.3.232] }
    forward_proxies:
      - { name: squid, hosts: [my-company-proxy.com], addresses: [10.80.2.87] }

    """

  /// A sidecar's request, sent where its client dialled unless a proxy resolved the name.
  private func sidecar(_ host: String, _ address: String, dialled: String? = nil, cluster: String? = nil) -> String {
    "[2026-11-02T09:00:00.000Z] \"GET / HTTP/1.1\" 200 - via_upstream - \"-\" 0 20 5 5 \"-\" \"curl/8\" \"-\" \"\(host)\" \"\(address):80\" \(cluster ?? "outbound|80||\(host)") 10.80.3.11:40000 \(dialled ?? address):80 10.80.3.11:50000 - -\n"
  }

  private func gateway(_ host: String, _ address: String, sni: String = "-") -> String {
    "[2026-11-02T09:00:00.000Z] \"GET / HTTP/1.1\" 200 - via_upstream - \"-\" 0 20 5 5 \"-\" \"curl/8\" \"-\" \"\(host)\" \"\(address):443\" outbound|443||\(host) 10.80.3.232:40000 10.80.3.232:8443 10.80.3.11:50000 \(sni) -\n"
  }

  /// A line of SampleLogs/squid/custom-with-ports.format.
  private func squid(connect target: String, sni: String, peer: String) -> String {
    "1793617201.412    346 10.80.3.11:36576 10.80.2.87:41822 TCP_TUNNEL/200 166076 898 CONNECT \(target):443 \(sni) splice -/- - HIER_DIRECT/\(peer):443 - \"curl/8.14.1\"\n"
  }

  /// Kind, confidence, host and address of each row, sorted.
  private func signs(_ session: Session, _ log: String, _ options: String = "") throws -> [String] {
    try session.write(Self.policy, to: "egress.yaml")
    try session.write(log, to: "proxy.log")
    let output = try session.run(
      "gatewatch ingest --policy egress.yaml \(options) proxy.log > i.txt; gatewatch report suspicious --format csv")
    return output.split(whereSeparator: \.isNewline).dropFirst().map { row in
      let fields = row.split(separator: ",", omittingEmptySubsequences: false)
      return [fields[0], fields[1], fields[3], fields[4]].joined(separator: " ")
    }.sorted()
  }

  @Test("what a proxy answers itself, as a probe of its own address, is no sign; the same name sent on is one")
  func answeredItself() throws {
    let session = try Session()
    defer { session.remove() }
    func line(_ upstream: String, _ details: String) -> String {
      "[2026-11-02T09:00:00.000Z] \"GET /healthz HTTP/1.1\" 200 - \(details) - \"-\" 0 0 0 - \"-\" \"kube-probe/1.31\" \"-\" \"10.80.3.232:8080\" \"\(upstream)\" - \(upstream == "-" ? "-" : "10.80.3.232:40000") 10.80.3.232:8080 10.80.0.1:50000 - -\n"
    }
    #expect(try signs(session, line("-", "direct_response"), "--role gateway") == [])
    try session.write("", to: "proxy.log")
    #expect(
      try signs(session, line("203.0.113.9:80", "via_upstream"), "--role gateway") == [
        "ip-literal likely 203.0.113.9 203.0.113.9"
      ])
  }

  @Test("signs that real proxies logged are listed by kind and confidence; alert tells all but the hints, once")
  func realProxies() throws {
    let session = try Session()
    defer { session.remove() }
    let rows = try session.run(
      "gatewatch ingest \(Self.logs) > i.txt; gatewatch report suspicious --format csv"
    ).split(whereSeparator: \.isNewline).dropFirst().map {
      $0.split(separator: ",").prefix(4).joined(separator: " ")
    }.sorted()
    #expect(
      rows == [
        "ip-literal hint 10.88.0.11 169.254.169.254", "ip-literal hint 10.88.0.11 203.0.113.66",
        "ip-literal hint fd00:88::11 2001:db8::10", "ip-literal likely 10.88.0.11 203.0.113.66",
        "ip-literal likely 10.88.0.13 127.0.0.1", "ip-literal likely 10.88.0.13 203.0.113.66",
        "sni-authority-mismatch likely 10.88.0.11 hidden.example", "sni-invalid hint 10.88.0.11 203.0.113.10",
        "sni-invalid likely 10.88.0.13 x]200 1 1 1.wild.example",
      ])
    let alert = try session.run("gatewatch alert > first.txt; gatewatch alert --format json")
    #expect(alert.contains("\"findings\": []"), "\(alert)")
    let told = try session.run(
      """
      gatewatch query --format csv -e "select distinct kind, host, severity from finding \\
      where kind like 'sni-%' or kind = 'ip-literal' order by kind, host"
      """
    ).split(whereSeparator: \.isNewline).dropFirst()
    #expect(
      told == [
        "ip-literal,127.0.0.1,warning", "ip-literal,203.0.113.66,warning",
        "sni-authority-mismatch,hidden.example,warning",
        "sni-invalid,x]200 1 1 1.wild.example,warning",
      ])
    let finding = try session.run("gatewatch explain sni-authority-mismatch:10.88.0.11:hidden.example:80")
    #expect(
      finding.contains("  sign          TLS asked for front.example, the request inside for hidden.example"),
      "\(finding)")
    #expect(finding.contains("real-proxies/istio-1.23/"), "\(finding)")
    #expect(try session.run("gatewatch report suspicious --host nobody --format csv").split(separator: "\n").count == 1)
  }

  @Test(
    "a declared name sent to an address that no proxy resolves it to is likely; a neighbour of the known ones a hint")
  func authorityAddress() throws {
    let session = try Session()
    defer { session.remove() }
    let log =
      gateway("api.example.com", "203.0.113.10") + sidecar("api.example.com", "203.0.113.10")
      + sidecar("api.example.com", "203.0.200.7") + sidecar("api.example.com", "192.0.2.66")
      // Of this name, nothing is known but what clients chose.
      + sidecar("only.example.com", "192.0.2.77") + sidecar("only.example.com", "192.0.2.78")
      // What was passed through anyway needs no false name.
      + sidecar("api.example.com", "192.0.2.67", cluster: "PassthroughCluster")
    #expect(
      try signs(session, log) == [
        "authority-address hint api.example.com 192.0.2.67", "authority-address hint api.example.com 203.0.200.7",
        "authority-address likely api.example.com 192.0.2.66",
      ])
  }

  @Test(
    "names that share changing addresses accuse nobody; a steady name sent elsewhere stands out, and all spoofs are listed"
  )
  func sharedAddresses() throws {
    let session = try Session()
    defer { session.remove() }
    let mesh = SharedAddresses()
    try session.write(Self.policy, to: "egress.yaml")
    try session.write(mesh.sidecar, to: "sidecar.log")
    try session.write(mesh.gateway, to: "gateway.log")
    let output = try session.run(
      "gatewatch ingest --policy egress.yaml *.log > i.txt; gatewatch report suspicious --format ndjson")
    var told: [String: Set<SharedAddresses.Pair>] = [:]
    for line in output.split(separator: "\n") {
      let row = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
      let pair = SharedAddresses.Pair(
        host: row["host"] as? String ?? "", address: row["address"] as? String ?? "")
      told["\(row["kind"] ?? "") \(row["confidence"] ?? "")", default: []].insert(pair)
    }
    let likely = told["authority-address likely"] ?? []
    let hints = told["authority-address hint"] ?? []
    let crowded = Set((told["one-address-many-names hint"] ?? []).map(\.address))
    print(
      "authority-address likely: \(likely.intersection(mesh.spoofs).count) of \(mesh.spoofs.count) spoofs, \(likely.subtracting(mesh.spoofs).count) of \(mesh.harmless.count) harmless pairs of a name and an address that only clients chose; hint: \(hints.intersection(mesh.spoofs).count) and \(hints.subtracting(mesh.spoofs).count); one-address-many-names: \(crowded.sorted())"
    )
    #expect(mesh.spoofs.count == 13 && mesh.harmless.count > 200)
    #expect(likely.isSuperset(of: mesh.spoofs), "\(mesh.spoofs.subtracting(likely).sorted())")
    // One name that moved, while the gateway had last resolved it some hours before.
    #expect(likely.subtracting(mesh.spoofs).map(\.host) == ["www.shared9.example"])
    // Of a content network's name nobody can tell, so that it is no more than a hint.
    #expect(hints.isSuperset(of: mesh.spoofsOfLarge) && mesh.spoofsOfLarge.count == 2)
    // Forty front ends with some twenty names each are none that clients made up.
    #expect(crowded == [SharedAddresses.attacker])
    #expect(output.contains("in 3 networks") || output.contains("networks, so that it may well have more"))
  }

  @Test("an address that turns out odd by what another log tells later is told by the next alert")
  func knownLater() throws {
    let session = try Session()
    defer { session.remove() }
    try session.write(
      Self.policy + "exceptions: [{ host: '*.example.com', owner: o, reason: r, expires: 2126-12-31 }]\n",
      to: "egress.yaml")
    // Both logs are read over the same time in any case, so that no verdict changes.
    let late = { (log: String) in log.replacing("T09:00:00", with: "T09:20:00") }
    try session.write(
      sidecar("other.example.com", "198.51.100.77") + sidecar("api.example.com", "192.0.2.66")
        + late(sidecar("other.example.com", "198.51.100.77")), to: "sidecar.log")
    let other = gateway("other.example.com", "198.51.100.77")
    try session.write(other + late(other), to: "gateway.log")
    let alert = "gatewatch alert --ingest sidecar.log --ingest gateway.log --policy egress.yaml; echo \"exit $?\"\n"
    #expect(!(try session.run(alert)).contains("authority-address"))
    #expect(try session.run(alert) == "exit 0\n")
    try session.write(
      other + late(other) + gateway("api.example.com", "203.0.113.10").replacing("T09:00:00", with: "T09:10:00"),
      to: "gateway.log")
    let told = try session.run(alert)
    #expect(told.contains("authority-address") && told.contains("api.example.com"), "\(told)")
    #expect(told.hasSuffix("exit 1\n"))
    // It stays what it is when nothing more is learned, and when more flows come.
    #expect(try session.run(alert) == "exit 0\n")
  }

  @Test("where the mesh resolves a name itself, an address that its client dialled, too, is no sign")
  func resolvedByTheMesh() throws {
    let session = try Session()
    defer { session.remove() }
    let log =
      sidecar("api.example.com", "203.0.113.10", dialled: "240.240.0.7")
      + sidecar("api.example.com", "192.0.2.66") + sidecar("api.example.com", "203.0.113.10", dialled: "192.0.2.66")
    #expect(try signs(session, log) == [])
  }

  @Test("CONNECT and the TLS inside it are compared without case and port; an address teaches no host's place")
  func connect() throws {
    let session = try Session()
    defer { session.remove() }
    let log =
      squid(connect: "www.example.com", sni: "WWW.example.com", peer: "198.51.100.50")
      + squid(connect: "allowed.example.com", sni: "hidden.example.net", peer: "198.51.100.51")
      + squid(connect: "192.0.2.66", sni: "www.example.com", peer: "192.0.2.66")
    let format = "--log-format @SampleLogs/squid/custom-with-ports.format"
    #expect(
      try signs(session, log, format) == [
        "connect-sni-mismatch certain allowed.example.com 198.51.100.51",
        "ip-literal likely www.example.com 192.0.2.66",
      ])
    // The sidecar's request with that name to that address stays what it is.
    try session.write(sidecar("www.example.com", "192.0.2.66"), to: "sidecar.log")
    let output = try session.run(
      "gatewatch ingest sidecar.log > i.txt; gatewatch report suspicious --format csv | grep authority-address")
    #expect(output.contains("authority-address,likely,10.80.3.11,www.example.com,192.0.2.66"), "\(output)")
  }

  @Test("one SNI that is a wildcard's, a name made by the mesh, or the same with a dot at the end is no mismatch")
  func sameNames() throws {
    let session = try Session()
    defer { session.remove() }
    let log =
      gateway("a.example.com", "203.0.113.10", sni: "*.example.com")
      + gateway("a.example.com", "203.0.113.10", sni: "outbound_.443_._.egress.istio-system.svc.cluster.local")
      + gateway("A.example.com.:443", "203.0.113.10", sni: "a.example.com")
      + gateway("a.example.com", "203.0.113.10", sni: "aa.example.com")
    #expect(try signs(session, log) == ["sni-authority-mismatch likely a.example.com 203.0.113.10"])
  }

  @Test(
    "an address under five unrelated names that have others of their own is a hint; else it is a server of many sites")
  func crowd() throws {
    let session = try Session()
    defer { session.remove() }
    let sites = (1...5).map { "www.site\($0).example" }
    let alone = sites.map { sidecar($0, "192.0.2.66") }.joined()
    #expect(try signs(session, alone) == [])
    // The front ends of a content network: several addresses, and several names at each.
    let shared = sites.prefix(3).map { sidecar($0, "203.0.113.17") }.joined()
    #expect(try signs(session, alone + shared) == [])
    let others = sites.prefix(3).enumerated().map { sidecar($1, "203.0.113.\(30 + $0)") }.joined()
    _ = try session.run("rm gatewatch.db")
    let rows = try signs(session, alone + others)
    #expect(rows.count == 5 && rows.allSatisfy { $0.hasPrefix("one-address-many-names hint www.site") }, "\(rows)")
    #expect(rows.allSatisfy { $0.hasSuffix(" 192.0.2.66") }, "\(rows)")
  }
}
