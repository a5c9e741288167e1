import Testing

// Questions about one host or one source: what nobody but a client says of a flow takes it out of no answer.

extension MisledVerdictTests {
  @Test(
    "a bypass without a name, to an address that other lines show for the host asked about, takes its all-clear away")
  func namelessAddress() throws {
    try sandbox.write(
      line("09:10:00", "198.51.100.20:443", "PassthroughCluster", dialled: "198.51.100.20:443"), to: "a.log")
    let asked = "bypass --host api.pay.example"
    #expect(try report("", report: asked).contains(Self.clear))
    let text = try report("a.log", report: asked)
    #expect(
      text.contains(
        "no all-clear: 1 flow around the egress gateway under no name, or one that the client wrote, to an address that other lines show for api.pay.example"
      ), "\(text)")
    // Of other hosts, and of other times, it says nothing.
    #expect(
      try sandbox.shell("$GATEWATCH report \(asked) --since 2026-11-02T09:15:00Z").out.contains(Self.clear))
  }

  @Test(
    "nor does a name that the client wrote hide a bypass from a question about the host at that address",
    arguments: [
      ("PassthroughCluster", "198.51.100.20", true), ("outbound|80||free.example", "198.51.100.20", true),
      // The proxy looked the name up, and found the same address.
      ("outbound|80||free.example", "203.0.113.99", false),
    ])
  func anotherName(cluster: String, dialled: String, isDoubt: Bool) throws {
    let line =
      "[2026-11-02T09:10:00.000Z] \"GET / HTTP/1.1\" 200 - via_upstream - \"-\" 0 500 20 20 \"-\" \"curl/8\" \"4b8b1d3c-0000-4000-8000-000000000001\" \"free.example\" \"198.51.100.20:80\" \(cluster) 10.80.3.11:40001 \(dialled):80 10.80.3.11:50001 - allow_any\n"
    try sandbox.write(line, to: "a.log")
    let text = try report("a.log", report: "bypass --host api.pay.example")
    #expect(
      text.contains("1 flow around the egress gateway under no name, or one that the client wrote") == isDoubt,
      "\(text)")
    #expect(text.contains(Self.clear) != isDoubt, "\(text)")
  }

  @Test("of a line without a cluster as of any other")
  func withoutCluster() throws {
    try sandbox.write(squid("10.80.3.77", "CONNECT 198.51.100.20:443", "HIER_DIRECT/198.51.100.20"), to: "squid.log")
    let doubt = "1 flow around the egress gateway under no name, or one that the client wrote"
    let text = try report("squid.log", report: "bypass --host api.pay.example")
    #expect(text.contains(doubt), "\(text)")
    // Squid looks names up itself.
    try sandbox.write(squid("10.80.3.77", "CONNECT free.example:443", "HIER_DIRECT/198.51.100.20"), to: "squid.log")
    #expect(try report("squid.log", report: "bypass --host api.pay.example").contains(Self.clear))
    // Nor does a format say what was dialled.
    try sandbox.write(
      "2026-11-02T09:10:00.000Z free.example 198.51.100.20:80 outbound|80||free.example 10.80.3.11:40001 10.80.3.11:50001\n",
      to: "own.log")
    _ = try sandbox.shell(
      "$GATEWATCH ingest --log-format '%START_TIME% %REQ(:AUTHORITY)% %UPSTREAM_HOST% %UPSTREAM_CLUSTER% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS%' own.log"
    )
    let later = try sandbox.shell("$GATEWATCH report bypass --host api.pay.example").out
    #expect(later.contains(doubt), "\(later)")
  }

  @Test("a bypass whose line shows neither a name nor an address may be of any host")
  func neitherNameNorAddress() throws {
    // The `basic` format of nginx's documentation.
    let format = "'$remote_addr [$time_local] $protocol $status $bytes_sent $bytes_received $session_time'"
    try sandbox.write("10.80.3.77 [02/Nov/2026:09:10:00 +0000] TCP 200 4875 901 0.601\n", to: "nginx.log")
    let doubt =
      "no all-clear: 1 flow around the egress gateway whose line shows neither a name nor an address, and may be of any host"
    for host in ["api.pay.example", "'*.example'", "198.51.100.20"] {
      let text = try report("nginx.log", options: "--log-format \(format)", report: "bypass --host \(host)")
      #expect(text.contains(doubt), "\(host): \(text)")
    }
    // Where nobody knows the client either, nothing is proven.
    try sandbox.write("10.80.3.78 [02/Nov/2026:09:10:00 +0000] TCP 200 4875 901 0.601\n", to: "nginx.log")
    let text = try report(
      "nginx.log", options: "--log-format \(format)", report: "bypass --host api.pay.example")
    #expect(
      text.contains("1 flow on a way that nothing proves whose line shows neither a name nor an address"), "\(text)")
  }

  @Test(
    "the cluster of a wildcard says which hosts a line without an address is not of",
    arguments: [("*.pay.example", false), ("*.search.example", true)])
  func wildcardWithoutAddress(wildcard: String, isClear: Bool) throws {
    try sandbox.write(
      "2026-11-02T09:10:00.000Z outbound|443||\(wildcard) 10.80.3.11:40001 10.80.3.11:50001\n", to: "own.log")
    let text = try report(
      "own.log",
      options:
        "--log-format '%START_TIME% %UPSTREAM_CLUSTER% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS%'",
      report: "bypass --host api.pay.example")
    #expect(text.contains(Self.clear) == isClear, "\(text)")
    #expect(text.contains("without a name, by a cluster for a wildcard that covers api.pay.example") != isClear)
  }

  @Test("what nothing proves the way of, without a name, is a doubt about the host at its address, too")
  func namelessUnproven() throws {
    try sandbox.write(squid("10.80.3.78", "CONNECT 198.51.100.20:443", "HIER_DIRECT/198.51.100.20"), to: "squid.log")
    let asked = "bypass --host api.pay.example"
    let doubt =
      "1 flow on a way that nothing proves under no name, or one that the client wrote, to an address that other lines show for api.pay.example"
    #expect(try report("squid.log", report: asked).contains(doubt))
    #expect(try sandbox.shell("$GATEWATCH report \(asked) --since 2026-11-02T09:15:00Z").out.contains(Self.clear))
    #expect(try sandbox.shell("$GATEWATCH report \(asked) --source 10.80.3.78").out.contains(doubt))
    let other = try sandbox.shell("$GATEWATCH report \(asked) --source 10.80.3.11").out
    #expect(other.contains(Self.clear), "\(other)")
  }

  @Test("the address that a pod dialled for a host is one of the host's, whichever the gateway reached")
  func dialledAddress() throws {
    let named = line(
      "09:02:00", "10.80.3.232:8080", Self.gateway, dialled: "203.0.113.10:80", serverName: "api.pay.example")
    let nameless = line("09:10:00", "203.0.113.10:443", "PassthroughCluster", dialled: "203.0.113.10:443")
    let doubt = "1 flow around the egress gateway under no name, or one that the client wrote, to an address"
    try sandbox.write(nameless, to: "a.log")
    #expect(try report("a.log", report: "bypass --host api.pay.example").contains(Self.clear))
    try sandbox.write(named + nameless, to: "a.log")
    #expect(try report("a.log", report: "bypass --host api.pay.example").contains(doubt))
  }

  @Test("a connection without a name of which no end was read is a doubt about the host at its address")
  func namelessUnended() throws {
    let format =
      "'[%START_TIME%] %ACCESS_LOG_TYPE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %UPSTREAM_HOST% %UPSTREAM_CLUSTER% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME%'"
    func record(_ time: String, _ type: String, _ address: String) -> String {
      "[2026-11-02T\(time).000Z] \(type) - 901 4875 60000 \(address):443 PassthroughCluster 10.80.3.11:59669 \(address):443 10.80.3.11:59653 -\n"
    }
    func answer(_ lines: String...) throws -> String {
      try sandbox.write(lines.joined(), to: "typed.log")
      _ = try report("")
      return try sandbox.shell(
        "$GATEWATCH ingest --log-format \(format) typed.log > i.txt; $GATEWATCH report bypass --host api.pay.example"
      ).out
    }
    let periodic = record("09:10:00", "TcpPeriodic", "198.51.100.20")
    let doubt = "1 line from before the end of connections that may be bypasses, whose end was not read"
    #expect(try answer(periodic).contains(doubt))
    #expect(try answer(record("09:10:00", "TcpPeriodic", "203.0.113.99")).contains(Self.clear))
    // The end is what counts.
    let ended = try answer(periodic, record("09:10:00", "TcpConnectionEnd", "198.51.100.20"))
    #expect(!ended.contains(doubt) && ended.contains("1 flow around the egress gateway under no name"), "\(ended)")
  }

  @Test("a waypoint's flows are of the host that its cluster was made for")
  func waypoint() throws {
    try sandbox.write(
      line(
        "09:10:00", "203.0.113.99:5432", "inbound-vip|5432|tcp|api.pay.example", own: "10.80.7.9",
        dialled: "240.240.0.9:5432"), to: "a.log")
    let text = try report("a.log", report: "bypass --host api.pay.example")
    #expect(text.contains("no all-clear: 1 flow on an unknown path"), "\(text)")
  }

  @Test("no header takes a pod's bypass out of the answer about that pod")
  func anotherSource() throws {
    // Nothing was connected, so the line shows no address but the header's.
    let bypass =
      "[2026-11-02T09:10:00.000Z] \"GET / HTTP/1.1\" 503 UF upstream_reset_before_response_started{connection_failure} - \"1.2.3.4\" 0 91 12 - \"1.2.3.4\" \"curl/8\" \"4b8b1d3c-0000-4000-8000-000000000003\" \"free.example\" \"203.0.113.50:80\" PassthroughCluster - 203.0.113.50:80 1.2.3.4:0 - allow_any\n"
    try sandbox.write(bypass, to: "a.log")
    let doubt =
      "no all-clear: 1 flow around the egress gateway, or on a way that nothing proves, of which at most a header tells the source"
    _ = try report("a.log")
    for source in ["10.80.3.11", "'10.80.*'", "10.80.3.0/24"] {
      let text = try sandbox.shell("$GATEWATCH report bypass --source \(source)").out
      #expect(text.contains(doubt), "\(source): \(text)")
    }
    let later = try sandbox.shell("$GATEWATCH report bypass --source 10.80.3.11 --since 2026-11-02T09:15:00Z").out
    #expect(later.contains(Self.clear), "\(later)")
    let other = try sandbox.shell("$GATEWATCH report bypass --source 10.80.3.11 --host api.pay.example").out
    #expect(other.contains(Self.clear), "\(other)")
  }

  @Test(
    "what shows no address is of the pod in whose own log it stands, whether that is asked for by name or by address")
  func sourceByLog() throws {
    let folder = "pods/default_sleep-1_aaaa/istio-proxy"
    let bypass =
      "[2026-11-02T09:10:00.000Z] \"GET / HTTP/1.1\" 503 UF upstream_reset_before_response_started{connection_failure} - \"1.2.3.4\" 0 91 12 - \"1.2.3.4\" \"curl/8\" \"4b8b1d3c-0000-4000-8000-000000000003\" \"free.example\" \"203.0.113.50:80\" PassthroughCluster - 203.0.113.50:80 1.2.3.4:0 - allow_any\n"
    let lines = line("09:00:00", "10.80.3.232:8080", Self.gateway) + bypass
    _ = try sandbox.shell("mkdir -p \(folder)")
    try sandbox.write(
      lines.split(separator: "\n").map { "2026-11-02T09:21:00.000000000Z stdout F \($0)\n" }.joined(),
      to: folder + "/0.log")
    _ = try sandbox.shell("$GATEWATCH ingest --policy egress.yaml pods gateway.log")
    for source in ["default/sleep-1", "10.80.3.11", "10.80.3.0/24"] {
      let text = try sandbox.shell("$GATEWATCH report bypass --source \(source)").out
      #expect(text.contains("1 flow left around the egress gateway"), "\(source): \(text)")
    }
    let other = try sandbox.shell("$GATEWATCH report bypass --source 10.80.3.12").out
    #expect(!other.contains("1 flow"), "\(other)")
  }

  @Test(
    "a pod whose lines show no address is found by the one that the topology gives it, and is a doubt where nobody knows it"
  )
  func sourceWithoutAddress() throws {
    let folder = "pods/ns_web-0_u1/istio-proxy"
    _ = try sandbox.shell("mkdir -p \(folder)")
    try sandbox.write(
      "2026-11-02T09:21:00.000000000Z stdout F 2026-11-02T09:10:00.000Z x.example 203.0.113.66:443 PassthroughCluster\n",
      to: folder + "/0.log")
    _ = try sandbox.shell(
      "$GATEWATCH ingest --policy egress.yaml sidecar.log gateway.log; $GATEWATCH ingest --log-format '%START_TIME% %REQ(:AUTHORITY)% %UPSTREAM_HOST% %UPSTREAM_CLUSTER%' pods"
    )
    func answer(_ source: String) throws -> String {
      try sandbox.shell("$GATEWATCH report bypass --source \(source)").out
    }
    let found = "1 flow left around the egress gateway"
    #expect(try answer("ns/web-0").contains(found))
    #expect(try answer("10.80.3.11").contains("of which at most a header tells the source"))
    #expect(try !answer("default/other").contains("at most a header"))
    try sandbox.write(
      #"{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-0", "namespace": "ns"}, "spec": {"containers": [{"name": "app"}, {"name": "istio-proxy", "image": "docker.io/istio/proxyv2:1.23", "args": ["proxy", "sidecar"]}]}, "status": {"podIP": "10.80.3.12", "startTime": "2026-11-01T00:00:00Z", "phase": "Running"}}]}"#,
      to: "pods.json")
    _ = try sandbox.shell("$GATEWATCH topology import --at 2026-11-02T08:00 pods.json")
    for source in ["10.80.3.12", "10.80.3.12/32", "'10.80.3.1[2]'"] {
      let text = try answer(source)
      #expect(text.contains(found), "\(source): \(text)")
    }
    let other = try answer("10.80.3.11")
    #expect(!other.contains("1 flow") && !other.contains("at most a header"), "\(other)")
  }

  @Test(
    "a bypass without a name, by the cluster of a wildcard, takes the all-clear of every host away that it covers",
    arguments: [
      ("*.pay.example", "api.pay.example", true), ("*.pay.example", "'*.example'", true),
      ("*.pay.example", "'api.*'", true), ("*.pay.example", "'*pi.pay.exampl?'", true),
      ("*.pay.example", "'*.eu.pay.example'", true), ("*.search.example", "api.pay.example", false),
      ("*.eu.pay.example", "api.pay.example", false), ("*.search.example", "'*.pay.example'", false),
    ])
  func namelessByWildcard(wildcard: String, host: String, isCovered: Bool) throws {
    try sandbox.write(
      line("09:10:00", "203.0.113.77:443", "outbound|443||\(wildcard)", dialled: "203.0.113.77:443"), to: "a.log")
    let text = try report("a.log", report: "bypass --host \(host)")
    #expect(text.contains(Self.clear) != isCovered, "\(text)")
    guard isCovered, !host.contains("*") else { return }
    #expect(
      text.contains(
        "no all-clear: 1 flow around the egress gateway without a name, by a cluster for a wildcard that covers \(host)"
      ), "\(text)")
    let later = try sandbox.shell("$GATEWATCH report bypass --host \(host) --since 2026-11-02T09:15:00Z")
    #expect(later.out.contains(Self.clear))
  }
}
