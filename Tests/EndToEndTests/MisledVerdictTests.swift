import Foundation
import Testing

/// Lines that made others look clean: what one of them shows, or its client wrote, vouched for traffic of which it says nothing.
@Suite struct MisledVerdictTests {
  let sandbox: Sandbox
  static let clear = "no bypass found in what was read"
  static let gateway = "outbound|80||istio-egressgateway.istio-system.svc.cluster.local"

  init() throws {
    sandbox = try Sandbox()
    try write(policy: "addresses: [10.80.3.232]")
    try sandbox.write(
      line("09:00:00", "10.80.3.232:8080", Self.gateway) + line("09:20:00", "10.80.3.232:8080", Self.gateway),
      to: "sidecar.log")
    try sandbox.write(
      ["09:00:00", "09:20:00"].map {
        line(
          $0, "198.51.100.20:80", "outbound|80||api.pay.example", own: "10.80.3.232", dialled: "10.80.3.232:8080",
          client: "10.80.3.11:50000")
      }.joined(), to: "gateway.log")
  }

  private func write(policy gateway: String, exceptions: String = "") throws {
    try sandbox.write(
      """
      mesh: { internal: [10.80.0.0/16] }
      gateways: [{ name: egress, hosts: [istio-egressgateway.istio-system.svc.cluster.local], \(gateway) }]
      forward_proxies: [{ name: squid, addresses: [10.80.2.87] }]
      pods: [{ name: batch, addresses: [10.80.3.77], sidecar: false }]
      \(exceptions)

      """, to: "egress.yaml")
  }

  /// A connection over an Envoy, from a pod's sidecar by default.
  func line(
    _ time: String, _ upstream: String, _ cluster: String, own: String = "10.80.3.11",
    dialled: String = "198.51.100.20:80", client: String = "10.80.3.11:50001", flags: String = "-",
    termination: String = "-", received: Int = 500, serverName: String = "-"
  ) -> String {
    "[2026-11-02T\(time).000Z] \"- - -\" 0 \(flags) - \(termination) \"-\" 100 \(received) 20 - \"-\" \"-\" \"-\" \"-\" \"\(upstream)\" \(cluster) \(own):50000 \(dialled) \(client) \(serverName) -\n"
  }

  func report(_ logs: String, options: String = "", report: String = "bypass") throws -> String {
    let outcome = try sandbox.shell(
      "rm -f gatewatch.db; $GATEWATCH ingest --policy egress.yaml \(options) sidecar.log gateway.log \(logs) > i.txt; $GATEWATCH report \(report)"
    )
    #expect(outcome.status == 0)
    return outcome.out
  }

  @Test("the baseline is an all-clear")
  func baseline() throws { #expect(try report("").contains(Self.clear)) }

  @Test(
    "a pod that has no sidecar gets none by printing its lines; one that has is believed",
    arguments: [
      ("10.80.3.77", "", false), ("10.80.3.78", #"{"name":"istio-proxy","image":"any"}"#, false),
      ("10.80.3.78", #"{"name":"app"},{"name":"istio-proxy","args":["proxy","sidecar"]}"#, true),
    ])
  func printedLines(client: String, containers: String, isBelieved: Bool) throws {
    try sandbox.write(
      #"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"any-1","namespace":"shop"},"spec":{"containers":[\#(containers)]},"status":{"podIP":"10.80.3.78","startTime":"2026-11-02T07:00:00Z"}}"#,
      to: "pod.json")
    let own = line("09:05:00", "10.80.3.232:8080", Self.gateway, own: client, client: client + ":50001")
    try sandbox.write(
      own.replacing("09:05", with: "09:04") + own + own.replacing("09:05", with: "09:06"), to: "own.log")
    try sandbox.append(
      line(
        "09:05:00", "198.51.100.20:80", "outbound|80||api.pay.example", own: "10.80.3.232",
        dialled: "10.80.3.232:8080", client: client + ":50000"), to: "gateway.log")
    let imported = containers.isEmpty ? "" : "$GATEWATCH topology import --at 2026-11-02T09:30 pod.json >> i.txt; "
    let outcome = try sandbox.shell(
      "rm -f gatewatch.db; \(imported)$GATEWATCH ingest --policy egress.yaml sidecar.log gateway.log own.log >> i.txt; $GATEWATCH report bypass; $GATEWATCH report unproven"
    ).out
    #expect(outcome.contains(Self.clear) == isBelieved, "\(outcome)")
    #expect(outcome.contains("source-unproven") != isBelieved, "\(outcome)")
    let proof = "a sidecar's lines are from 10.80.3.78, where the imported topology shows a pod without a sidecar"
    #expect(outcome.contains(proof) == (!isBelieved && !containers.isEmpty), "\(outcome)")
  }

  @Test("an address that only a pod's listener for what comes in had a connection to is the mesh's for nobody else")
  func inboundAddress() throws {
    try sandbox.write(
      line("09:05:00", "192.168.50.1:443", "PassthroughCluster", dialled: "192.168.50.1:443"), to: "a.log")
    #expect(try report("a.log").contains("1 flow on an unknown path"))
    try sandbox.write(
      line(
        "09:06:00", "192.168.50.1:443", "InboundPassthroughCluster", own: "127.0.0.6", dialled: "192.168.50.1:443",
        client: "172.17.0.2:4444"), to: "b.log")
    // And what it received may come from within the pod.
    #expect(try report("b.log").contains("1 flow whose path rests on an assumption"))
    #expect(try report("a.log b.log").contains("2 flows whose path rests on an assumption"))
    // Where nobody says which addresses are the mesh's, servers without traffic of their own are known by this alone.
    try sandbox.write("gateways: [{ name: egress, addresses: [10.80.3.232] }]\n", to: "egress.yaml")
    #expect(try report("a.log b.log").contains(Self.clear))
  }

  @Test("a port of a proxy's address to which no service leads is no certain way to the proxy")
  func foreignProxyPort() throws {
    let way = line("09:04:00", "10.80.2.87:3128", "outbound|3128||proxy.example", dialled: "10.80.2.87:3128")
    let other = line("09:05:00", "10.80.2.87:22", "PassthroughCluster", dialled: "10.80.2.87:22")
    try sandbox.write(way, to: "a.log")
    #expect(try report("a.log").contains(Self.clear))
    try sandbox.write(way + other, to: "a.log")
    #expect(try report("a.log").contains("1 flow whose path rests on an assumption"))
    // Where the registry has no such service, nobody says which port is the proxy's.
    try sandbox.write(other, to: "a.log")
    #expect(try report("a.log").contains(Self.clear))
  }

  @Test("what a gateway refused stands in no other log, and counts")
  func refused() throws {
    let refused = (5...7).map {
      "[2026-11-02T09:0\($0):00.000Z] \"GET /x HTTP/1.1\" 503 UF,URX upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused} - \"-\" 0 152 3 - \"-\" \"curl\" \"a6545b32-d6c2-440d-9327-5a320b71000\($0)\" \"api.pay.example\" \"10.80.3.232:8080\" \(Self.gateway) - 198.51.100.20:80 10.80.3.11:41000 - -\n"
    }
    try sandbox.write(refused.joined(), to: "a.log")
    let failed = try report("a.log", report: "failed --format csv")
    #expect(failed.contains(",connection-refused,") && failed.contains(",3,"), "\(failed)")
    let summary = try report("a.log", report: "summary --format csv")
    #expect(summary.contains("total,flows,5,"), "\(summary)")
  }

  @Test(
    "a port of the gateway's address of which the gateway's log tells nothing is no certain way out",
    arguments: [1080, 15021])
  func foreignPort(port: Int) throws {
    try sandbox.write(
      line("09:05:00", "10.80.3.232:\(port)", "PassthroughCluster", dialled: "10.80.3.232:\(port)"), to: "a.log")
    // Probes and metrics are answered by Istio's agent, which writes no access log.
    #expect(try report("a.log").contains(port == 1080 ? "1 flow whose path rests on an assumption" : Self.clear))
  }

  @Test(
    "an ingress gateway is not the hop before Squid where sidecars' lines show which address the egress gateway has")
  func ingressGateway() throws {
    try write(policy: "addresses: []")
    try sandbox.write(
      line(
        "09:04:00", "10.80.3.11:8080", "outbound|80||shop.default.svc.cluster.local", own: "10.80.3.50",
        dialled: "10.80.3.50:8443", client: "198.51.100.7:4444"), to: "ingress.log")
    try sandbox.write(squid("10.80.3.50", "CONNECT evil.example:443", "HIER_DIRECT/203.0.113.66"), to: "squid.log")
    #expect(try report("ingress.log squid.log").contains("1 flow at a proxy whose client no other log accounts for"))
    try sandbox.write(squid("10.80.3.232", "CONNECT evil.example:443", "HIER_DIRECT/203.0.113.66"), to: "squid.log")
    #expect(try report("ingress.log squid.log").contains(Self.clear))
  }

  func squid(_ client: String, _ request: String, _ hierarchy: String) -> String {
    "1793610420.020     19 \(client) TCP_TUNNEL/200 166797 \(request) - \(hierarchy) -\n"
  }

  @Test(
    "the name that a client wrote allows nothing at Squid where that went to the address which the client dialled",
    arguments: [
      ("CONNECT api.vendor.example:443", "HIER_DIRECT/203.0.113.66", false),
      ("CONNECT api.vendor.example:443", "ORIGINAL_DST/203.0.113.66", true),
      ("GET http://api.vendor.example/", "ORIGINAL_DST/203.0.113.66", true),
      ("GET http://api.vendor.example/", "PINNED/203.0.113.66", true),
    ])
  func clientsWord(request: String, hierarchy: String, isBypass: Bool) throws {
    try write(policy: "addresses: [10.80.3.232]", exceptions: Self.vendor)
    // Both kinds in one log, of one name and address: neither stands for the other.
    try sandbox.write(
      squid("10.80.3.77", request, "HIER_DIRECT/203.0.113.66") + squid("10.80.3.77", request, hierarchy),
      to: "squid.log")
    let text = try report("squid.log")
    #expect(text.contains("\(isBypass ? 1 : 2) flow\(isBypass ? "" : "s") around the gateway allowed by exceptions"))
    #expect(text.contains("1 flow left around the egress gateway") == isBypass)
  }

  private static let vendor =
    "exceptions: [{ name: vendor, host: api.vendor.example, owner: o, reason: r, expires: 2126-12-31 }]"

  @Test("nor does the server name inside of a tunnel to an address", arguments: ["api.vendor.example", "-"])
  func serverNameInTunnel(name: String) throws {
    try write(policy: "addresses: [10.80.3.232]", exceptions: Self.vendor)
    try sandbox.write(
      "1793610420.020     19 10.80.3.77:51000 TCP_TUNNEL/200 166797 CONNECT 203.0.113.66:443 HIER_DIRECT/203.0.113.66 \(name)\n",
      to: "squid.log")
    let format = "--log-format '%ts.%03tu %6tr %>a:%>p %Ss/%03>Hs %<st %rm %ru %Sh/%<a %ssl::>sni'"
    #expect(try report("squid.log", options: format).contains("1 flow left around the egress gateway"))
  }

  @Test("a tunnel to a host that is called like Squid's own errors is a tunnel", arguments: ["error", "errar"])
  func hostCalledError(host: String) throws {
    try sandbox.write(squid("10.80.3.77", "CONNECT \(host):443", "HIER_DIRECT/203.0.113.66"), to: "squid.log")
    #expect(try report("squid.log").contains("1 flow left around the egress gateway"))
  }

  @Test(
    "an exception for everything is one that nobody can oversee, also where it names everybody as its source",
    arguments: ["0.0.0.0/0", "10.80.0.0/16", "10.80.3.0/24"])
  func sweepingSource(source: String) throws {
    try write(
      policy: "addresses: [10.80.3.232]",
      exceptions:
        "exceptions: [{ name: all, addresses: [0.0.0.0/0], source: [\(source)], owner: o, reason: r, expires: 2126-12-31 }]"
    )
    try sandbox.write(
      line("09:05:00", "203.0.113.9:443", "PassthroughCluster", dialled: "203.0.113.9:443"), to: "a.log")
    #expect(try report("a.log").contains("this is no all-clear") == (source != "10.80.3.0/24"))
  }

  @Test(
    "sources and times tell of the bypasses that the report bypass tells of, also of those that were seen again later")
  func bypassSeenLater() throws {
    // A client without a sidecar, at the gateway, whose own proxy logged it once more.
    try sandbox.write(
      "[2026-11-02T09:05:00.000Z] \"- - -\" 0 - - - \"-\" 100 500 20 - \"-\" \"-\" \"-\" \"-\" \"127.0.0.1:18443\" outbound|443||evil.example 127.0.0.1:50000 10.80.3.232:8443 10.80.3.77:50001 evil.example -\n",
      to: "a.log")
    try sandbox.write(
      "127.0.0.1 [02/Nov/2026:09:05:00 +0000] TCP [evil.example]200 500 100 0.020\n", to: "sni.log")
    #expect(try report("a.log sni.log").contains("1 flow left around the egress gateway"))
    let sources = try sandbox.shell("$GATEWATCH report sources --format csv").out
    #expect(sources.contains("batch,1,1,100,500,1,0,0,"))
    let timeline = try sandbox.shell("$GATEWATCH report timeline --format csv").out
    #expect(timeline.contains(",3,3,0,0,0,0,1,300,1500"))
  }

  @Test("a client is not accused by a line of its own that was pruned", arguments: [false, true])
  func prunedHop(isPruned: Bool) throws {
    // One request a minute over both. The gateway's line of the last one before the pruning comes late, and its clock is ahead.
    func request(_ number: Int, at time: String, isGateway: Bool) -> String {
      let (upstream, cluster, own, dialled, client) =
        isGateway
        ? ("203.0.113.9:443", "outbound|443||h.example", "10.80.3.232:20001", "10.80.3.232:8080", 41_000 + number)
        : ("10.80.3.232:8080", Self.gateway, "10.80.3.11:\(41_000 + number)", "203.0.113.9:80", 31_000)
      return
        "[2026-11-02T09:\(time)Z] \"GET / HTTP/1.1\" 200 - via_upstream - \"-\" 0 100 4 4 \"-\" \"curl/8\" \"00000000-0000-4000-a000-\(100_000_000_000 + number)\" \"h.example\" \"\(upstream)\" \(cluster) \(own) \(dialled) 10.80.3.11:\(client) - default\n"
    }
    func gateway(_ number: Int) -> String {
      request(number, at: String(format: "%02d:00.002", number + 1), isGateway: true)
    }
    try sandbox.write(
      (0..<59).map { request($0, at: String(format: "%02d:59.999", $0), isGateway: false) }.joined(), to: "pod.log")
    try sandbox.write((0..<59).filter { $0 != 29 }.map(gateway).joined(), to: "egress.log")
    try sandbox.shell("$GATEWATCH ingest --policy egress.yaml --role sidecar pod.log; $GATEWATCH ingest egress.log")
    #expect(try sandbox.gatewatch("report", "bypass").out.contains(Self.clear))
    if isPruned { try sandbox.shell("$GATEWATCH db prune --before 2026-11-02T09:30:00Z") }
    try sandbox.append(gateway(29), to: "egress.log")
    try sandbox.gatewatch("ingest", "egress.log")
    let text = try sandbox.gatewatch("report", "bypass").out
    #expect(!text.contains("1 flow left around"), "\(text)")
    #expect(text.contains(Self.clear) != isPruned)
  }

  @Test(
    "times without a zone are no word about the time asked for, nor are times with a name of one other than UTC's",
    arguments: [("", ""), (" %Z", " EST"), (" %Z", " IST")])
  func timesWithoutZone(pattern: String, zone: String) throws {
    // 04:12 in New York is 09:12 UTC.
    try sandbox.write(
      "[2026-11-02T04:12:00\(zone)] 203.0.113.9:443 PassthroughCluster 10.80.3.11:50000 203.0.113.9:443 10.80.3.11:50001\n",
      to: "a.log")
    let format =
      "--log-format '[%START_TIME_LOCAL(%FT%T\(pattern))%] %UPSTREAM_HOST% %UPSTREAM_CLUSTER% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS%'"
    #expect(try report("a.log", options: format).contains("1 flow left around the egress gateway"))
    let limited = "bypass --since 2026-11-02T09:00:00Z --until 2026-11-02T09:30:00Z"
    #expect(
      try sandbox.shell("$GATEWATCH report \(limited)").out.contains(
        "no all-clear: some lines have times without a zone"))
    #expect(try report("", report: limited).contains(Self.clear))
  }

  @Test(
    "a clock without a day is of the day that the wrapper says, else no word about the time asked for",
    arguments: ["2026-11-02T09:12:01Z stdout F ", ""])
  func timesWithoutDay(wrapper: String) throws {
    try sandbox.write(
      "\(wrapper)[09:12:00] 203.0.113.9:443 PassthroughCluster 10.80.3.11:50000 203.0.113.9:443 10.80.3.11:50001\n",
      to: "a.log")
    try sandbox.shell("touch -d '2026-11-04 09:00:00 UTC' a.log")
    let format =
      "--log-format '[%START_TIME(%H:%M:%S)%] %UPSTREAM_HOST% %UPSTREAM_CLUSTER% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS%'"
    #expect(try report("a.log", options: format).contains("1 flow left around the egress gateway"))
    let limited = try sandbox.gatewatch(
      "report", "bypass", "--since", "2026-11-02T09:00:00Z", "--until", "2026-11-02T09:30:00Z"
    ).out
    let flow = try #require(try sandbox.gatewatch("flows", "--host", "203.0.113.9").rows().first)
    if wrapper.isEmpty {
      #expect(limited.contains("no all-clear: some lines have times that leave open the day or the hour"), "\(limited)")
      #expect(flow["started_at"] as? String == "2026-11-03T09:12:00.000Z")
      #expect((flow["warnings"] as? String)?.contains("day-assumed") == true)
      // It may be of a day before the exception holds.
      try write(
        policy: "addresses: [10.80.3.232]",
        exceptions:
          "exceptions: [{ name: vendor, addresses: [203.0.113.9], owner: a, reason: r, from: 2026-11-03, expires: 2027-12-31 }]"
      )
      let allowed = try report("a.log", options: format)
      #expect(allowed.contains("no all-clear: some lines have times that leave open the day or the hour"), "\(allowed)")
    } else {
      #expect(limited.contains("1 flow left around the egress gateway"), "\(limited)")
      #expect((flow["warnings"] as? String)?.contains("assumed") != true)
    }
  }

  @Test(
    "a lone connection of equal bytes is the way to a Squid that does not say where it is only if it leads to a proxy that somebody knows",
    arguments: [
      ("10.80.3.99:9000", "outbound|9000||db.default.svc.cluster.local"), ("10.80.3.99:9000", "PassthroughCluster"),
      ("10.80.3.232:8080", MisledVerdictTests.gateway), ("10.80.2.87:3128", "PassthroughCluster"),
    ])
  func loneWitness(upstream: String, cluster: String) throws {
    try sandbox.write(line("09:07:00", upstream, cluster, dialled: upstream, received: 166_797), to: "a.log")
    try sandbox.write(squid("10.80.3.11", "CONNECT evil.example:443", "HIER_DIRECT/203.0.113.66"), to: "squid.log")
    let text = try report("a.log squid.log")
    #expect(text.contains("1 flow whose path rests on an assumption") == (upstream != "10.80.2.87:3128"), "\(text)")
    #expect(text.contains(Self.clear) == (upstream == "10.80.2.87:3128"), "\(text)")
    guard upstream == "10.80.3.99:9000" else { return }
    // Where the policy learns of the proxy, nothing has to be read again.
    let outcome = try sandbox.shell(
      "sed 's/10.80.2.87/10.80.3.99/' egress.yaml > other.yaml; $GATEWATCH report bypass --policy other.yaml")
    #expect(outcome.out.contains(Self.clear), "\(outcome.out)")
  }

  @Test("where a line has the host that was chosen and the address that was reached, it went to the second")
  func remoteAddress() throws {
    let format =
      "--log-format '[%START_TIME%] %UPSTREAM_HOST% %UPSTREAM_REMOTE_ADDRESS% %UPSTREAM_CLUSTER% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS%'"
    func columns(_ host: String, _ remote: String) throws -> String {
      try sandbox.write(
        "[2026-11-02T09:12:00.000Z] \(host) \(remote) outbound|443||x.example 10.80.3.11:5 198.51.100.1:443 10.80.3.11:6\n",
        to: "a.log")
      return try report("a.log", options: format)
    }
    #expect(try columns("10.80.3.232:8080", "203.0.113.9:443").contains("1 flow left around the egress gateway"))
    // No connection came about, and the attempt was one.
    #expect(try columns("203.0.113.9:443", "-").contains("1 flow left around the egress gateway"))
    #expect(try columns("10.80.3.232:8080", "10.80.3.232:8080").contains(Self.clear))
  }

  @Test(
    "a connection that a policy ended when bytes had come back over it has left",
    arguments: [("-", "rbac_access_denied_matched_policy[none]"), ("UAEX", "-"), ("-", "ext_authz_denied")])
  func deniedLate(flags: String, termination: String) throws {
    func denied(_ bytes: String) throws -> String {
      let whole = line(
        "09:05:00", "203.0.113.9:443", "PassthroughCluster", dialled: "203.0.113.9:443", flags: flags,
        termination: termination)
      try sandbox.write(whole.replacing(" 100 500 ", with: " \(bytes) "), to: "a.log")
      return try report("a.log")
    }
    for bytes in ["100 500", "0 500"] {
      #expect(try denied(bytes).contains("1 flow left around the egress gateway"), "\(bytes)")
      #expect(try sandbox.shell("$GATEWATCH flows --format csv").out.contains("denied-late"))
    }
    // The first bytes of the client are counted, and stay where they are.
    #expect(try denied("100 0").contains(Self.clear))
  }

  @Test("an address is no gateway's any more when the imported topology says that another pod had it")
  func gatewayOfOtherTimes() throws {
    try sandbox.write("mesh: { internal: [10.80.0.0/16] }\n", to: "egress.yaml")
    try sandbox.write(
      #"{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "relay", "namespace": "default"}, "spec": {"containers": [{"name": "app"}]}, "status": {"podIP": "10.80.3.232", "startTime": "2026-11-02T09:10:00Z", "phase": "Running"}}]}"#,
      to: "pods.json")
    let read =
      "$GATEWATCH ingest --policy egress.yaml --role gateway gateway.log > i.txt; $GATEWATCH ingest sidecar.log > i.txt; "
    let report = "$GATEWATCH report bypass"
    #expect(try sandbox.shell(read + report).out.contains(Self.clear))
    let later = try sandbox.shell(
      "$GATEWATCH topology import --at 2026-11-02T09:30 pods.json > t.txt; $GATEWATCH ingest sidecar.log > i.txt; "
        + report)
    // Of the two the second was there after the pod had come.
    #expect(later.out.contains("1 flow whose path rests on an assumption"), "\(later.out)")
  }

  @Test("an exception for a host is no all-clear where the client may have chosen the address behind the name")
  func exceptionForTheName() throws {
    try write(policy: "addresses: [10.80.3.232]", exceptions: "exceptions: [{ host: api.search.example, owner: o }]")
    try sandbox.write(
      line("09:10:00", "203.0.113.66:80", "outbound|80||api.search.example", dialled: "203.0.113.66:80"), to: "a.log")
    let text = try report("a.log")
    #expect(text.contains("no all-clear: 1 flow that an exception allows on an assumption"), "\(text)")
    #expect(text.contains("1 flow around the gateway allowed by exceptions of the policy"), "\(text)")
    let unproven = try sandbox.shell("$GATEWATCH report unproven --format ndjson").out
    #expect(unproven.contains("\"why\":\"exception-assumed\""), "\(unproven)")
    #expect(unproven.contains("give the exception the addresses that it allows"), "\(unproven)")
    let summary = try sandbox.shell("$GATEWATCH report summary --format csv").out
    #expect(summary.contains("unproven,exception-assumed,1"), "\(summary)")
    #expect(summary.contains("bypass allowed,direct-service-entry,1"), "\(summary)")
    // Proxies look the name up: one line shows it.
    try sandbox.write(
      line("09:11:00", "203.0.113.67:80", "outbound|80||api.search.example", dialled: "203.0.113.66:80"), to: "b.log")
    let later = try report("a.log b.log")
    #expect(later.contains(Self.clear) && later.contains("2 flows around the gateway allowed"), "\(later)")
  }

  @Test(
    "a PROXY header is no word for who connected to the SNI proxy: it clears no pod that writes the gateway's address, and accuses none",
    arguments: [("10.80.3.232", "10.80.3.77 50000", true), ("10.80.3.77", "10.80.3.232 50000", false)])
  func proxyHeader(header: String, connected: String, isBypass: Bool) throws {
    try write(policy: "addresses: [10.80.3.232]", exceptions: "sni_proxies: [{ name: sni, addresses: [10.80.3.233] }]")
    try sandbox.write(
      line("09:05:00", "10.80.3.232:8443", Self.gateway, dialled: "198.51.100.20:443", received: 700)
        + line(
          "09:05:00", "10.80.3.233:8443", "outbound|8443||sni-proxy.local", own: "10.80.3.232",
          dialled: "10.80.3.232:8443", client: "10.80.3.11:50000", received: 700), to: "a.log")
    try sandbox.write(
      "\(header) \(connected) [02/Nov/2026:09:05:00 +0000] TCP [evil.example]200 700 100 0.020\n", to: "sni.log")
    let text = try report(
      "a.log sni.log",
      options:
        "--log-format '$remote_addr $realip_remote_addr $realip_remote_port [$time_local] $protocol [$ssl_preread_server_name]$status $bytes_sent $bytes_received $session_time'"
    )
    #expect(text.contains("1 flow left around the egress gateway") == isBypass, "\(text)")
    #expect(text.contains(Self.clear) == !isBypass, "\(text)")
  }

  @Test("a column that the mesh added behind Istio's default is no host under which bypasses hide from an alert")
  func columnBehindDefault() throws {
    func bypass(_ time: String, _ address: String) -> String {
      line(time, "\(address):443", "PassthroughCluster", dialled: "\(address):443").replacing(
        " - -\n", with: " - - traceID=-\n")
    }
    try sandbox.write(bypass("09:05:00", "203.0.113.9"), to: "a.log")
    #expect(try report("a.log", report: "bypass --format csv").contains(",203.0.113.9,443,"))
    #expect(try sandbox.gatewatch("alert").status == 2)
    #expect(try sandbox.gatewatch("alert").out == "")
    try sandbox.append(bypass("09:06:00", "203.0.113.66"), to: "a.log")
    let later = try sandbox.gatewatch("alert", "--ingest", "a.log")
    #expect(later.status == 2 && later.out.contains("203.0.113.66"), "\(later.out)")
    // Nor does it accuse a request, which has no server name at all.
    try sandbox.write(
      "[2026-11-02T09:07:00.000Z] \"GET /x HTTP/1.1\" 200 - via_upstream - \"-\" 10 1245 24 23 \"-\" \"curl\" \"-\" \"api.pay.example\" \"10.80.3.232:8080\" \(Self.gateway) 10.80.3.11:40000 198.51.100.20:80 10.80.3.11:41000 - - traceID=-\n",
      to: "b.log")
    #expect(!(try report("b.log", report: "suspicious --format csv")).contains("sni-"))
    #expect(
      try sandbox.gatewatch("report", "bypass").out.contains("1 flow whose lines can be read in more than one way"))
  }

  @Test(
    "a workload that dials its own address is no gateway either when it forges where it comes from",
    arguments: [
      ("outbound|80||evil.example", "direct-service-entry"), ("PassthroughCluster", "passthrough"),
    ])
  func forgedSelfCall(cluster: String, bypass: String) throws {
    try sandbox.write(
      line("09:05:00", "203.0.113.66:80", cluster, dialled: "10.80.3.11:80", client: "1.2.3.4:0"), to: "a.log")
    let text = try report("a.log", report: "bypass --format csv")
    #expect(text.contains(",\(bypass),gateway,10.80.3.11,"), "\(text)")
    #expect(try sandbox.shell("$GATEWATCH flows --format csv").out.contains(",sidecar,a.log,"))
    // Where the policy, or who read the log, says that it is a gateway, it is.
    try write(policy: "addresses: [10.80.3.232, 10.80.3.11]")
    #expect(try report("a.log").contains("nothing found"))
    try write(policy: "addresses: [10.80.3.232]")
    let declared = try sandbox.shell(
      "rm -f gatewatch.db; $GATEWATCH ingest --policy egress.yaml sidecar.log gateway.log > i.txt; $GATEWATCH ingest --role gateway a.log > i.txt; $GATEWATCH report bypass"
    )
    #expect(declared.out.contains("nothing found"), "\(declared.out)")
  }
}
