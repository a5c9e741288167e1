import Foundation
import Testing

/// Ways in which a bypass could hide from the program as built: each was an all-clear once.
@Suite struct HiddenBypassTests {
  let sandbox: Sandbox

  init() throws {
    sandbox = try Sandbox()
    try sandbox.write(policy(), to: "egress.yaml")
    try sandbox.write([sidecar("09:00:00"), sidecar("09:10:00")].joined(), to: "ok.log")
  }

  private func policy(pods: String = "") -> String {
    """
    mesh: { internal: [10.80.0.0/16, "*.svc.cluster.local"] }
    gateways:
      - { name: egress, hosts: [istio-egressgateway.istio-system.svc.cluster.local], addresses: [10.80.3.232] }
    sni_proxies: [{ name: sni, addresses: [10.80.3.233] }]
    forward_proxies: [{ name: squid, addresses: [10.80.2.87] }]
    \(pods)

    """
  }

  /// A request, by default one that goes to the gateway.
  private func sidecar(
    _ time: String, ending: String = "200 - via_upstream", upstream: String = "10.80.3.232:8080",
    cluster: String = "outbound|80||istio-egressgateway.istio-system.svc.cluster.local",
    local: String = "10.80.3.11:50000",
    authority: String = "www.example.com"
  ) -> String {
    "[2026-11-02T\(time).000Z] \"POST /up HTTP/1.1\" \(ending) - \"-\" 300000 11 12 12 \"-\" \"curl/8\" \"-\" \"\(authority)\" \"\(upstream)\" \(cluster) \(local) 198.51.100.20:80 10.80.3.11:50001 - -\n"
  }

  private func report(_ logs: String, policy: String = "egress.yaml", options: String = "") throws -> String {
    let outcome = try sandbox.shell(
      "rm -f gatewatch.db; $GATEWATCH ingest --policy \(policy) \(logs) > i.txt; $GATEWATCH report bypass \(options)")
    #expect(outcome.status == 0)
    return outcome.out
  }

  @Test("the baseline is an all-clear")
  func baseline() throws { #expect(try report("ok.log").contains("no bypass found in what was read")) }

  @Test(
    "a client does not take back what it sent around the gateway by a wrong last byte, or by never ending",
    arguments: [
      "400 DPE http1.codec_error", "408 - request_overall_timeout", "413 - request_payload_too_large", "400 IH -",
    ])
  func badEnding(ending: String) throws {
    try sandbox.write(
      sidecar("09:05:00", ending: ending, upstream: "203.0.113.66:80", cluster: "PassthroughCluster"), to: "bad.log")
    #expect(try report("ok.log bad.log").contains("1 flow left around the egress gateway"))
    // Where no upstream was chosen, nothing was sent.
    try sandbox.write(
      sidecar("09:05:00", ending: ending, upstream: "-", cluster: "PassthroughCluster", local: "-"), to: "bad.log")
    #expect(try report("ok.log bad.log").contains("no bypass found in what was read"))
  }

  @Test(
    "a JSON line that calls the upstream by another name is judged by its cluster", arguments: ["upstreamHost", "peer"])
  func otherKey(key: String) throws {
    let line = """
      {"start_time":"2026-11-02T09:05:00.000Z","method":"GET","path":"/","protocol":"HTTP/1.1","response_code":200,\
      "response_flags":"-","response_code_details":"via_upstream","bytes_received":0,"bytes_sent":2381,"duration":12,\
      "authority":"evil.example","\(key)":"203.0.113.66:80","upstream_cluster":"PassthroughCluster",\
      "upstream_local_address":"10.80.3.11:51002","downstream_local_address":"203.0.113.66:80",\
      "downstream_remote_address":"10.80.3.11:51003","route_name":"allow_any"}

      """
    try sandbox.write(line, to: "json.log")
    #expect(try report("ok.log json.log").contains("1 flow left around the egress gateway"))
  }

  @Test(
    "a gateway's line of an undeclared pod makes it no egress gateway where these are declared",
    arguments: [true, false])
  func ingressGateway(isDeclaredWithoutSidecar: Bool) throws {
    try sandbox.write(
      "10.80.3.50 [02/Nov/2026:09:05:42 +0000] TCP [evil.example]200 182597 26800000 0.682\n", to: "sni.log")
    try sandbox.write(
      "[2026-11-02T09:04:00.000Z] \"GET / HTTP/1.1\" 200 - via_upstream - \"-\" 0 2381 12 12 \"198.51.100.99\" \"curl/8\" \"-\" \"shop.example\" \"10.80.3.11:8080\" outbound|80||shop.default.svc.cluster.local 10.80.3.50:40000 10.80.3.50:8080 198.51.100.99:50000 - -\n",
      to: "ingress.log")
    try sandbox.write(
      policy(
        pods: isDeclaredWithoutSidecar ? "pods: [{ name: ingress, addresses: [10.80.3.50], sidecar: false }]" : ""),
      to: "egress.yaml")
    for logs in ["ok.log sni.log", "ok.log sni.log ingress.log"] {
      let text = try report(logs)
      #expect(
        isDeclaredWithoutSidecar
          ? text.contains("critical  sni-proxy-direct")
          : text.contains("no all-clear: 1 flow at a proxy whose client no other log accounts for"), "\(text)")
    }
    // Of a policy that names no address, the sidecars' lines show which pods are the gateways; without these that is open. With a
    // role, somebody said so.
    try sandbox.write(policy().replacing(", addresses: [10.80.3.232]", with: ""), to: "hosts.yaml")
    #expect(try report("ok.log sni.log ingress.log", policy: "hosts.yaml").contains("no other log accounts for"))
    #expect(try !report("sni.log ingress.log", policy: "hosts.yaml").contains("no other log accounts for"))
    let byRole = try sandbox.shell(
      "rm gatewatch.db; $GATEWATCH ingest --role gateway ingress.log; $GATEWATCH ingest --policy egress.yaml ok.log sni.log; $GATEWATCH report bypass"
    ).out
    #expect(!byRole.contains("no other log accounts for"), "\(byRole)")
  }

  @Test("who comes from outside the mesh to the gateway and on to a declared proxy is on the way out")
  func outsider() throws {
    for proxy in ["10.80.2.87:3128", "10.80.3.233:443"] {
      try sandbox.write(
        "[2026-11-02T09:05:00.000Z] \"- - -\" 0 - - - \"-\" 901 4875 618 - \"-\" \"-\" \"-\" \"-\" \"\(proxy)\" outbound|443||proxy.example 10.80.3.232:41000 10.80.3.232:8443 192.168.5.5:50000 evil.example -\n",
        to: "gateway.log")
      let text = try report("ok.log gateway.log")
      #expect(text.contains("1 flow at a proxy whose client no other log accounts for"), "\(text)")
    }
  }

  @Test("a host is found by the name of its cluster and by its address, whatever name the client wrote")
  func otherName() throws {
    try sandbox.write(
      "[2026-11-02T09:05:00.000Z] \"- - -\" 0 - - - \"-\" 901 4875 618 - \"-\" \"-\" \"-\" \"-\" \"203.0.113.66:443\" outbound|443||www.example.com 10.80.3.11:51000 240.240.0.7:443 10.80.3.11:51001 decoy.example -\n",
      to: "sni.log")
    for host in ["www.example.com", "'*.example.com'", "203.0.113.66", "decoy.example"] {
      let text = try report("ok.log sni.log", options: "--host \(host)")
      #expect(text.contains("1 flow left around the egress gateway"), "\(host): \(text)")
      #expect(text.contains("decoy.example"))
    }
    let other = try report("ok.log sni.log", options: "--host www.example.org")
    #expect(other.contains("no flow that was read is of the host asked about"), "\(other)")
  }

  @Test("an all-clear names lines without an end, and flows that began before the time asked about")
  func said() throws {
    try sandbox.append(String(sidecar("09:20:00").dropLast()), to: "ok.log")
    let text = try report("ok.log")
    #expect(text.contains("no bypass found") && text.contains("bytes of last lines without an end yet"), "\(text)")
    let later = try report("ok.log", options: "--since 2026-11-02T09:05")
    #expect(later.contains("what began before the time asked about, and went on in it, is not looked at"), "\(later)")
  }

  @Test(
    "a tunnel of which only lines from before its end were read stands against an all-clear, and its end is a bypass")
  func unended() throws {
    let format = """
      [%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% \
      %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% \
      %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" \
      "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER% %UPSTREAM_LOCAL_ADDRESS% \
      %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME% %ACCESS_LOG_TYPE%
      """
    try sandbox.write(format, to: "typed.fmt")
    func record(_ type: String, _ address: String = "203.0.113.10") -> String {
      "[2026-11-02T09:05:00.000Z] \"- - -\" 0 - - - \"-\" 901 4875 618 - \"-\" \"-\" \"-\" \"-\" \"\(address):443\" PassthroughCluster 10.80.3.11:59668 \(address):443 10.80.3.11:59652 - - \(type)\n"
    }
    let ingest =
      "rm -f gatewatch.db; $GATEWATCH ingest --policy egress.yaml ok.log > i.txt; $GATEWATCH ingest --log-format @typed.fmt typed.log > i.txt; $GATEWATCH report bypass"
    for type in ["TcpUpstreamConnected", "TcpPeriodic", "TcpConnectionStart"] {
      try sandbox.write(record(type), to: "typed.log")
      let open = try sandbox.shell(ingest).out
      #expect(
        open.contains("no all-clear: 1 line from before the end of connections that may be bypasses"),
        "\(type): \(open)")
      let alert = try sandbox.gatewatch("alert")
      #expect(alert.out.contains("could not tell: 1 line from before the end"), "\(alert.out)")
    }
    try sandbox.write(
      record("TcpUpstreamConnected") + record("TcpPeriodic") + record("TcpConnectionEnd")
        + record("TcpPeriodic", "203.0.113.11"), to: "typed.log")
    let both = try sandbox.shell(ingest).out
    #expect(
      both.contains("1 flow left around the egress gateway; and perhaps more: 1 line from before the end"), "\(both)")
    #expect(both.contains("(see: gatewatch flows)"))
    #expect(try sandbox.gatewatch("flows").out.contains("203.0.113.11"))
    let there = try sandbox.shell("$GATEWATCH report bypass --host 203.0.113.10").out
    #expect(there.contains("1 flow left around the egress gateway\n"), "\(there)")
    // In two runs of cron: the tunnel is told of while it is open, and is a finding when it ends.
    try sandbox.write(record("TcpUpstreamConnected", "203.0.113.12"), to: "later.log")
    let later = "$GATEWATCH alert --ingest later.log --log-format @typed.fmt"
    try sandbox.shell("$GATEWATCH alert")
    let meanwhile = try sandbox.shell(later)
    #expect(meanwhile.status == 3 && meanwhile.out.contains("could not tell: 1 line from before"), "\(meanwhile.out)")
    try sandbox.write(
      record("TcpUpstreamConnected", "203.0.113.12") + record("TcpConnectionEnd", "203.0.113.12"), to: "later.log")
    let end = try sandbox.shell(later)
    #expect(end.status == 2 && !end.out.contains("could not tell"), "\(end.out)")
  }

  @Test("so does an open tunnel of which nothing proves that it is no bypass; a proven end settles it")
  func unendedUnproven() throws {
    func squid(_ ending: String, client: String = "10.80.3.77") -> String {
      "1793610300.000   5000 \(client) \(ending) CONNECT evil.example:443 - HIER_DIRECT/203.0.113.14 -\n"
    }
    try sandbox.write(squid("NONE_NONE/200 0"), to: "squid.log")
    let open = try report("ok.log squid.log")
    #expect(open.contains("no all-clear: 1 line from before the end of connections that may be bypasses"), "\(open)")
    try sandbox.write(squid("NONE_NONE/200 0") + squid("TCP_TUNNEL/200 5000"), to: "squid.log")
    let ended = try report("ok.log squid.log")
    #expect(ended.contains("no all-clear: 1 flow at a proxy whose client no other log accounts for\n"), "\(ended)")
  }

  @Test(
    "a line that names no upstream and yet had one is no sign that nothing was sent",
    arguments: [
      // Without a key for it, or with an empty one and the upstream's own answer.
      #"{"start_time":"2026-11-02T09:05:00.000Z","method":null,"response_code":0,"response_flags":"-","bytes_received":30000,"bytes_sent":5000,"duration":12,"upstream_cluster":"PassthroughCluster","downstream_local_address":"203.0.113.66:443","downstream_remote_address":"10.80.3.11:5000"}"#,
      #"{"start_time":"2026-11-02T09:05:00.000Z","method":"GET","response_code":200,"response_flags":"-","bytes_received":0,"bytes_sent":2381,"duration":12,"authority":"evil.example","upstream_host":null,"response_code_details":"via_upstream","upstream_cluster":"PassthroughCluster","downstream_local_address":"203.0.113.66:80","downstream_remote_address":"10.80.3.11:51003"}"#,
      #"[2026-11-02T09:05:00.000Z] "GET / HTTP/1.1" 200 - via_upstream - "-" 5000 2381 12 12 "-" "curl/8" "-" "www.example.com" "-" PassthroughCluster - 203.0.113.66:80 10.80.3.11:50001 - -"#,
      #"[2026-11-02T09:05:00.000Z] "- - -" 0 - - - "-" 300000 182597 618 - "-" "-" "-" "-" "-" PassthroughCluster - 203.0.113.66:443 10.80.3.11:59652 - -"#,
      // Bytes went one way alone.
      #"[2026-11-02T09:05:00.000Z] "- - -" 0 - - - "-" 0 4875 618 - "-" "-" "-" "-" "-" PassthroughCluster - 203.0.113.66:443 10.80.3.11:59652 - -"#,
      #"[2026-11-02T09:05:00.000Z] "- - -" 0 - - - "-" 901 0 618 - "-" "-" "-" "-" "-" PassthroughCluster - 203.0.113.66:443 10.80.3.11:59652 - -"#,
    ])
  func unnamedUpstream(line: String) throws {
    try sandbox.write(line + "\n", to: "bad.log")
    #expect(try report("ok.log bad.log").contains("1 flow left around the egress gateway"))
  }

  @Test(
    "what the cache filter answered after it had asked the origin is no sign that nothing was sent",
    arguments: [
      // Validated by the origin, which the line names.
      #"200 RFCF cache.response_from_cache_filter - "-" 0 1000 12 11 "-" "c" "-" "x.example" "203.0.113.66:80" PassthroughCluster 10.80.3.11:4001"#,
      // The cache's own client had asked, which leaves the columns of the upstream empty; without details nobody can tell.
      #"200 RFCF cache.insert_via_upstream - "-" 0 1000 12 - "-" "c" "-" "x.example" "-" PassthroughCluster -"#,
      #"0 - cache.aborted_lookup - "-" 0 0 12 - "-" "c" "-" "x.example" "-" PassthroughCluster -"#,
      #"200 RFCF - - "-" 0 1000 12 - "-" "c" "-" "x.example" "-" PassthroughCluster -"#,
    ])
  func askedByCache(ending: String) throws {
    let line = "[2026-11-02T09:05:00.000Z] \"GET /x HTTP/1.1\" \(ending) 203.0.113.66:80 10.80.3.11:59668 - allow_any\n"
    try sandbox.write(line, to: "bad.log")
    #expect(try report("ok.log bad.log").contains("1 flow left around the egress gateway"))
  }

  @Test("what came from the cache alone was not sent")
  func cached() throws {
    try sandbox.write(
      "[2026-11-02T09:05:00.000Z] \"GET /x HTTP/1.1\" 200 RFCF cache.response_from_cache_filter - \"-\" 0 1000 12 - \"-\" \"c\" \"-\" \"x.example\" \"-\" PassthroughCluster - 203.0.113.66:80 10.80.3.11:59668 - allow_any\n",
      to: "cached.log")
    #expect(try report("ok.log cached.log").contains("no bypass found in what was read"))
  }

  @Test(
    "an attempt that failed is one also in a format that names the other end of connections alone",
    arguments: [
      // TCP, and TLS that failed; flags in the short and in the long form, or only what else tells of it.
      ("\"- - -\" 0 UF,URX - \"-\"", "PassthroughCluster", "1 flow left around the egress gateway"),
      (
        "\"- - -\" 0 URX,UpstreamConnectionFailure - \"-\"", "PassthroughCluster",
        "1 flow left around the egress gateway"
      ),
      ("\"- - -\" 0 URX - \"-\"", "PassthroughCluster", "1 flow left around the egress gateway"),
      ("\"- - -\" 0 - - \"delayed_connect_error:_111\"", "PassthroughCluster", "1 flow left around the egress gateway"),
      (
        "\"GET / HTTP/1.1\" 503 - upstream_reset_before_response_started{remote_connection_failure} \"-\"",
        "PassthroughCluster", "1 flow left around the egress gateway"
      ),
      (
        "\"GET / HTTP/1.1\" 503 UF - \"TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED\"",
        "outbound|443||evil.example", "no all-clear"
      ),
      // A full pool tries none, nor does a limit that was over before a cluster was chosen, or a route that does not exist.
      (
        "\"GET / HTTP/1.1\" 503 UO upstream_reset_before_response_started{overflow} \"-\"", "PassthroughCluster",
        "no bypass found in what was read"
      ),
      ("\"- - -\" 0 URX - \"-\"", "-", "no bypass found in what was read"),
      ("\"GET / HTTP/1.1\" 404 NR route_not_found \"-\"", "-", "no bypass found in what was read"),
    ])
  func failedAttempts(ending: String, cluster: String, answer: String) throws {
    try sandbox.write(
      "[%START_TIME%] \"%REQ(:METHOD)% %REQ(:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_REMOTE_ADDRESS%\" %UPSTREAM_CLUSTER% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS%\n",
      to: "remote.format")
    try sandbox.write(
      "[2026-11-02T09:05:00.000Z] \(ending) 0 0 18 \"-\" \"-\" \(cluster) - 198.51.100.35:443 10.80.3.11:59660\n",
      to: "failed.log")
    let text = try sandbox.shell(
      "$GATEWATCH ingest --policy egress.yaml ok.log > i.txt; $GATEWATCH ingest --log-format @remote.format failed.log > i.txt; $GATEWATCH report bypass"
    ).out
    #expect(text.contains(answer), "\(text)")
  }

  @Test(
    "where neither flags nor details are logged, a connection that names no other end may have been tried",
    arguments: [
      ("0 PassthroughCluster", "1 flow left around the egress gateway"),
      ("503 PassthroughCluster", "1 flow left around the egress gateway"),
      ("0 -", "no all-clear: 1 flow on an unknown path"),
      ("0 BlackHoleCluster", "no bypass found in what was read"),
    ])
  func attemptsWithoutFlags(end: String, answer: String) throws {
    let format =
      "[%START_TIME%] %REQUESTED_SERVER_NAME% %UPSTREAM_REMOTE_ADDRESS% %RESPONSE_CODE% %UPSTREAM_CLUSTER% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS%"
    try sandbox.write(
      "[2026-11-02T09:05:00.000Z] evil.example - \(end) 0 0 10000 203.0.113.66:443 10.80.3.11:59660\n",
      to: "tried.log")
    let text = try sandbox.shell(
      "$GATEWATCH ingest --policy egress.yaml ok.log > i.txt; $GATEWATCH ingest --log-format '\(format)' tried.log > i.txt; $GATEWATCH report bypass"
    ).out
    #expect(text.contains(answer), "\(text)")
  }

  @Test("a line without the address that was dialled has the port of the upstream: two ports are two findings")
  func portOfUpstream() throws {
    let format = "[%START_TIME%] %RESPONSE_FLAGS% %UPSTREAM_HOST% %UPSTREAM_CLUSTER% %DOWNSTREAM_REMOTE_ADDRESS%"
    try sandbox.write(
      """
      [2026-11-02T09:05:00.000Z] - 203.0.113.66:443 PassthroughCluster 10.80.3.11:40000
      [2026-11-02T09:06:00.000Z] - 203.0.113.66:22 PassthroughCluster 10.80.3.11:40002

      """, to: "ports.log")
    let ports = try sandbox.shell(
      "$GATEWATCH ingest --policy egress.yaml --log-format '\(format)' ports.log > i.txt; $GATEWATCH report bypass --format csv | cut -d, -f6"
    ).lines
    #expect(ports == ["port", "22", "443"])
  }

  @Test("a JSON line whose key for the upstream says null, and that nobody answered, sent nothing")
  func nullUpstream() throws {
    try sandbox.write(
      #"{"start_time":"2026-11-02T09:05:00.000Z","method":"GET","response_code":0,"response_flags":"DC","bytes_received":0,"bytes_sent":0,"duration":12,"authority":"evil.example","upstream_host":null,"response_code_details":null,"upstream_cluster":"PassthroughCluster","downstream_local_address":"203.0.113.66:80","downstream_remote_address":"10.80.3.11:51003"}"#
        + "\n", to: "null.log")
    #expect(try report("ok.log null.log").contains("no bypass found in what was read"))
  }

  @Test(
    "nor did a connection over which nothing went, or on which Envoy itself answered what was no HTTP",
    arguments: ["\"- - -\" 0 UH - - \"-\" 0 0", "\"- - HTTP/1.1\" 400 DPE http1.codec_error - \"-\" 0 11"])
  func answeredByEnvoy(ending: String) throws {
    try sandbox.write(
      "[2026-11-02T09:05:00.000Z] \(ending) 0 - \"-\" \"-\" \"-\" \"-\" \"-\" PassthroughCluster - 203.0.113.66:80 10.80.3.11:51003 - -\n",
      to: "bad.log")
    #expect(try report("ok.log bad.log").contains("no bypass found in what was read"))
  }

  @Test("a log without any access line stands against an all-clear")
  func mute() throws {
    try sandbox.write(
      String(repeating: "2026-11-02T09:05:00.000000Z\tinfo\txdsproxy\tconnected to upstream\n", count: 20),
      to: "agent.log")
    let text = try report("ok.log agent.log")
    #expect(text.contains("no all-clear: 1 log holds no access line at all"), "\(text)")
    // What prepares the pod writes none.
    try sandbox.shell("mkdir -p pods/shop_a-1_0f-1/istio-init; mv agent.log pods/shop_a-1_0f-1/istio-init/0.log")
    let prepared = try report("ok.log pods")
    #expect(prepared.contains("no bypass found in what was read: 2 logs"), "\(prepared)")
  }

  @Test("a policy that declares most of the Internet to be the mesh gives no all-clear")
  func sweeping() throws {
    try sandbox.write("mesh: { internal: [0.0.0.0/0] }\n", to: "all.yaml")
    let text = try report("ok.log", policy: "all.yaml")
    #expect(
      text.contains("the policy declares 0.0.0.0/0 to be inside the mesh") && !text.contains("no bypass found"),
      "\(text)")
  }

  /// A policy with other gateways, and whatever else.
  private func gateways(_ entries: String, _ more: String = "") throws {
    try sandbox.write(
      """
      mesh: { internal: [10.80.0.0/16, "*.svc.cluster.local"] }
      gateways: [\(entries)]
      sni_proxies: [{ name: sni, addresses: [10.80.3.233] }]
      forward_proxies: [{ name: squid, addresses: [10.80.2.87] }]
      \(more)

      """, to: "other.yaml")
  }

  private static let gatewayHost = "istio-egressgateway.istio-system.svc.cluster.local"

  @Test("who has a gateway's name alone is none: a public address, and a pod that is known to have no sidecar")
  func namedGateways() throws {
    let host = Self.gatewayHost
    try gateways(
      "{ name: egress, hosts: [\(host)] }", "pods: [{ name: rogue, addresses: [10.80.3.99], sidecar: false }]")
    try sandbox.write(
      sidecar("09:05:00", upstream: "203.0.113.66:443", cluster: "outbound|443||\(host)"), to: "public.log")
    #expect(
      try report("ok.log public.log", policy: "other.yaml").contains(
        "no all-clear: 1 flow whose path rests on an assumption"))
    try sandbox.write(
      sidecar("09:05:00", upstream: "10.80.3.99:443", cluster: "outbound|443||\(host)"), to: "taught.log")
    try sandbox.write(
      "1793610300.000   5000 10.80.3.99 TCP_TUNNEL/200 5000 CONNECT evil.example:443 - HIER_DIRECT/203.0.113.14 -\n",
      to: "squid.log")
    #expect(
      try report("ok.log taught.log squid.log", policy: "other.yaml").contains("1 flow left around the egress gateway"))
    // Patterns that match the hosts of many owners are doubts by themselves.
    for pattern in ["*.*", "*e*", "*.com"] {
      try gateways("{ name: egress, hosts: [\"\(pattern)\"] }")
      #expect(try report("ok.log", policy: "other.yaml").contains("no all-clear"), "\(pattern)")
    }
    try gateways("{ name: egress, hosts: [\(host)] }", "pods: [{ name: all, addresses: [0.0.0.0/0] }]")
    #expect(try report("ok.log", policy: "other.yaml").contains("no all-clear"))
    try gateways(
      "{ name: egress, hosts: [\(host)] }",
      "exceptions: [{ name: all, addresses: [0.0.0.0/0], owner: a, reason: b }]")
    #expect(try report("ok.log", policy: "other.yaml").contains("no all-clear"))
  }

  @Test("a sidecar that sends straight to the SNI proxy is no all-clear, also where the proxy's log was not read")
  func pastTheGateway() throws {
    try sandbox.write(
      sidecar("09:05:00", upstream: "10.80.3.233:443", cluster: "outbound|443||sni.example"), to: "past.log")
    #expect(try report("ok.log past.log").contains("no all-clear: 1 flow whose path rests on an assumption"))
  }

  @Test("between two entries of the policy for the gateway, a bypass is a warning all the same")
  func gatewayGap() throws {
    try gateways("{ name: old, addresses: [10.80.3.232], until: 2026-11-02T09:04:00Z }")
    try sandbox.write(
      sidecar("09:05:00", upstream: "203.0.113.66:443", cluster: "outbound|443||evil.example"), to: "gap.log")
    #expect(try report("gap.log", policy: "other.yaml").contains("warning   direct-service-entry"))
  }

  @Test("what was pruned to nothing is no all-clear, and an alert cannot tell")
  func prunedToNothing() throws {
    _ = try report("ok.log")
    let pruned = try sandbox.shell(
      "$GATEWATCH alert > a.txt; $GATEWATCH db prune --before 2026-11-20; $GATEWATCH report bypass"
    ).out
    #expect(pruned.contains("no all-clear: all flows that were stored were pruned"), "\(pruned)")
    #expect(try sandbox.gatewatch("alert").status == 3)
  }

  @Test(
    "a proxy that had asked somebody has passed it on, whatever it told the client",
    arguments: [
      // Squid's refusal of an answer, a tunnel that carried bytes, a host called `error`.
      "TCP_DENIED/403 5000 CONNECT evil.example:443 - HIER_DIRECT/203.0.113.14 -",
      "TCP_TUNNEL/200 166076 CONNECT evil.example:443 - HIER_NONE/- -",
      "TCP_TUNNEL/200 5000 CONNECT error:443 - HIER_DIRECT/203.0.113.14 -",
    ])
  func passedOn(record: String) throws {
    try gateways(
      "{ name: egress, addresses: [10.80.3.232] }", "pods: [{ name: p, addresses: [10.80.3.99], sidecar: false }]")
    try sandbox.write("1793610300.000   5000 10.80.3.99 \(record)\n", to: "squid.log")
    #expect(try report("ok.log squid.log", policy: "other.yaml").contains("1 flow left around the egress gateway"))
  }

  @Test("lines that only a sidecar writes are a doubt where their folder was read with the role of a gateway")
  func declaredRole() throws {
    try sandbox.write(
      sidecar(
        "09:05:00", upstream: "203.0.113.66:443", cluster: "PassthroughCluster", local: "10.80.3.11:50000"),
      to: "side.log")
    let found = try sandbox.shell(
      "rm -f gatewatch.db; $GATEWATCH ingest --policy egress.yaml --role gateway ok.log side.log > i.txt; $GATEWATCH report bypass"
    ).out
    #expect(found.contains("no all-clear"), "\(found)")
  }

  @Test("a public address that only a listener for what comes in had a connection to is no certain pod")
  func inboundPassthrough() throws {
    func line(_ upstream: String, _ local: String, _ cluster: String, _ client: String) -> String {
      "[2026-11-02T09:05:00.000Z] \"- - -\" 0 - - - \"-\" 901 4875 618 - \"-\" \"-\" \"-\" \"-\" \"\(upstream)\" \(cluster) \(local) \(upstream) \(client) - -\n"
    }
    try sandbox.write(
      line("203.0.113.66:443", "127.0.0.6:40000", "InboundPassthroughCluster", "10.80.3.50:40000"), to: "in.log")
    #expect(try report("ok.log in.log").contains("no all-clear"))
    try sandbox.write(
      line("[2606:4700::66]:443", "[::6]:40000", "InboundPassthroughCluster", "[fd00:80::50]:40000"), to: "in.log")
    try sandbox.write(
      line("[2606:4700::66]:443", "[fd00:80::11]:40000", "PassthroughCluster", "[fd00:80::11]:40001"), to: "out.log")
    #expect(try report("ok.log in.log out.log").contains("no all-clear"))
  }

  @Test("--host finds a flow by each name that its client wrote, and --source by the pod in a log without names")
  func filters() throws {
    try sandbox.write(
      "1793610300.000   5000 10.80.3.99 TCP_TUNNEL/200 5000 CONNECT evil.example:443 - HIER_DIRECT/203.0.113.14 -\n",
      to: "squid.log")
    try gateways(
      "{ name: egress, addresses: [10.80.3.232] }", "pods: [{ name: p, addresses: [10.80.3.99], sidecar: false }]")
    #expect(
      try report("ok.log squid.log", policy: "other.yaml", options: "--host evil.example").contains("1 flow left"))
    try sandbox.shell("mkdir -p pods/shop_web-1_0a1b/istio-proxy")
    let inner = sidecar("09:00:00")
    try sandbox.write(
      "2026-11-02T09:00:00.100000000Z stdout F " + inner, to: "pods/shop_web-1_0a1b/istio-proxy/0.log")
    try sandbox.write(
      sidecar("09:05:00", upstream: "203.0.113.66:443", cluster: "PassthroughCluster"), to: "export.log")
    #expect(try report("pods export.log", options: "--source shop/web-1").contains("1 flow left"))
  }

  @Test(
    "an access line that looks like another program's message is rejected, not passed over",
    arguments: [
      #"{"level":"info","time":"2026-11-02T09:05:00Z","msg":"egress","client":"10.80.3.11:41000","server":"203.0.113.66:443","in":898}"#,
      #"{"level":"info","time":"2026-11-02T09:05:00Z","scope":"egress","msg":"10.80.3.11:41000 [2001:db8::66]:443"}"#,
      #"{"level":"warn","time":"2026-11-02T09:05:00Z","msg":"[2026-11-02T09:05:00.000Z] \"- - -\" 0 - - - \"-\" 9 9 9 - \"-\" \"-\" \"-\" \"-\" \"[2606:4700::66]:443\" PassthroughCluster [fd00::1]:4 [2606:4700::66]:443 [fd00::1]:5 - -"}"#,
      "2026-11-02T09:05:00.000000Z\tinfo\tegress\t10.80.3.11:41002 -> 203.0.113.66:443 in=898 out=166076",
      #"[2026-11-02 09:05:00.000][12][info][lua] script log: [2026-11-02T09:05:00.000Z] "GET / HTTP/1.1" 200 - via_upstream "203.0.113.66:80""#,
    ])
  func disguised(line: String) throws {
    try sandbox.write(line + "\n", to: "odd.log")
    let text = try report("ok.log odd.log")
    #expect(text.contains("no all-clear: ") && text.contains("1 rejected line"), "\(text)")
  }

  @Test(
    "messages of agents, of Envoy and of stern are no lines that anything is missing of",
    arguments: [
      #"{"level":"error","time":"2026-11-02T09:05:00Z","scope":"xdsproxy","msg":"read tcp 10.80.3.11:41000->10.80.9.9:15012: connection reset"}"#,
      #"{"level":"info","time":"2026-11-02T09:05:00Z","msg":"FLAG: --concurrency=\"0\""}"#,
      "2026-11-02T09:05:00.000000Z\terror\txdsproxy\tread tcp 10.80.3.11:41000->10.80.9.9:15012: connection reset",
      "2026-11-02T09:05:00.000000Z\tinfo\tstarting Http service at 127.0.0.1:15004",
      "[2026-11-02 09:05:00.000][12][warning][config] gRPC config for 10.80.9.9:15012 closed",
      "\u{1B}[38;5;2m+\u{1B}[0m sleep-1 \u{203A} istio-proxy",
    ])
  func messages(line: String) throws {
    try sandbox.write(try String(contentsOfFile: sandbox.path("ok.log"), encoding: .utf8) + line + "\n", to: "more.log")
    let text = try report("more.log")
    #expect(text.contains("no bypass found in what was read"), "\(text)")
  }

  @Test("a client's own words do not make its line one of stern's")
  func arrow() throws {
    let bad = sidecar("09:05:00", upstream: "203.0.113.66:80", cluster: "PassthroughCluster")
    func stern(_ line: String) -> String {
      "\u{1B}[38;5;4msleep-1\u{1B}[0m \u{1B}[38;5;5mistio-proxy\u{1B}[0m \(line)"
    }
    try sandbox.write(
      stern(bad.replacing("curl/8", with: "my \u{203A} agent")) + stern(sidecar("09:06:00")), to: "stern.log")
    #expect(try report("ok.log stern.log").contains("1 flow left around the egress gateway"))
  }

  @Test("no object of the cluster makes a public IPv6 address part of the mesh but a pod")
  func publicEntries() throws {
    let bad = sidecar(
      "09:05:00", upstream: "[2606:4700::77]:443", cluster: "PassthroughCluster", local: "10.80.3.11:50000")
    try sandbox.write(bad, to: "six.log")
    for spec in [
      #""kind":"ServiceEntry","spec":{"hosts":["a.example"],"location":"MESH_INTERNAL","resolution":"STATIC","endpoints":[{"address":"2606:4700::77"}]}"#,
      #""kind":"WorkloadEntry","spec":{"address":"2606:4700::77"}"#,
    ] {
      try sandbox.write(
        #"{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"networking.istio.io/v1","metadata":{"name":"a","namespace":"shop"},\#(spec)}]}"#,
        to: "topology.json")
      let text = try sandbox.shell(
        "rm -f gatewatch.db; $GATEWATCH topology import --at 2026-11-02T09:00 topology.json; $GATEWATCH ingest --policy egress.yaml ok.log six.log > i.txt; $GATEWATCH report bypass"
      ).out
      #expect(text.contains("1 flow left around the egress gateway"), "\(text)")
    }
  }

  @Test("what a pod sends to a node's address past all services is no proof of staying in the mesh")
  func nodeAddress() throws {
    try sandbox.write(
      #"{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Node","metadata":{"name":"n1"},"status":{"addresses":[{"type":"InternalIP","address":"10.0.0.1"}]}}]}"#,
      to: "topology.json")
    for (cluster, isDoubt) in [("PassthroughCluster", true), ("outbound|10250||kubelet.kube-system.svc", false)] {
      try sandbox.write(sidecar("09:05:00", upstream: "10.0.0.1:3129", cluster: cluster), to: "node.log")
      let text = try sandbox.shell(
        "rm -f gatewatch.db; $GATEWATCH topology import --at 2026-11-02T09:00 topology.json; $GATEWATCH ingest --policy egress.yaml ok.log node.log > i.txt; $GATEWATCH report bypass"
      ).out
      #expect(text.contains("1 flow whose path rests on an assumption") == isDoubt, "\(text)")
      #expect(text.contains("no bypass found in what was read") == !isDoubt, "\(text)")
    }
  }

  @Test("a node's address that a ServiceEntry calls outside is not known to be inside")
  func contradictedNode() throws {
    try sandbox.write(
      #"{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Node","metadata":{"name":"n1"},"status":{"addresses":[{"type":"InternalIP","address":"10.0.0.1"}]}},{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":"a","namespace":"shop"},"spec":{"hosts":["relay.example"],"location":"MESH_EXTERNAL","resolution":"STATIC","endpoints":[{"address":"10.0.0.1"}]}}]}"#,
      to: "topology.json")
    try sandbox.write(
      sidecar("09:05:00", upstream: "10.0.0.1:443", cluster: "outbound|443||relay.example"), to: "node.log")
    let text = try sandbox.shell(
      "rm -f gatewatch.db; $GATEWATCH topology import --at 2026-11-02T09:00 topology.json; $GATEWATCH ingest --policy egress.yaml ok.log node.log > i.txt; $GATEWATCH report bypass"
    ).out
    #expect(text.contains("1 flow on an unknown path"), "\(text)")
  }

  @Test("a public IPv6 address behind a listener for what comes in is the pod's own only where its sidecar wrote lines")
  func inboundIPv6() throws {
    let inbound = sidecar(
      "09:05:00", upstream: "[2606:4700::77]:443", cluster: "InboundPassthroughCluster", local: "[::6]:1000"
    ).replacing("198.51.100.20:80 10.80.3.11:50001", with: "[2606:4700::77]:443 [fd00:10::13]:41002")
    try sandbox.write(inbound, to: "in.log")
    #expect(try report("ok.log in.log").contains("1 flow whose path rests on an assumption"))
    try sandbox.write(policy().replacing("10.80.0.0/16,", with: "10.80.0.0/16, \"2606:4700::/32\","), to: "six.yaml")
    #expect(try report("ok.log in.log", policy: "six.yaml").contains("no bypass found in what was read"))
  }

  @Test(
    "a tunnel that Squid opened before it asked anybody is a doubt until a line tells of its end",
    arguments: ["NONE_NONE", "TAG_NONE"])
  func splicedTunnel(tag: String) throws {
    func squid(_ seconds: Int, _ result: String, _ method: String, _ url: String, _ hierarchy: String) -> String {
      "\(1_793_610_300 + seconds).288    583 10.80.3.77 \(result) 5000 \(method) \(url) - \(hierarchy) -\n"
    }
    let opened = squid(0, "\(tag)/200", "CONNECT", "evil.example:443", "HIER_NONE/-")
    try sandbox.write(opened, to: "squid.log")
    #expect(try report("ok.log squid.log").contains("1 line from before the end of connections that may be bypasses"))
    // What was inside may have been refused.
    let refused = squid(1, "TCP_DENIED/403", "GET", "https://evil.example/", "HIER_NONE/-")
    try sandbox.write(opened + refused, to: "squid.log")
    let text = try report("ok.log squid.log")
    #expect(!text.contains("from before the end of connections"), "\(text)")
    // Intercepted, the end has a name, and the first line an address.
    let ended = squid(1, "TCP_TUNNEL/200", "CONNECT", "evil.example:443", "ORIGINAL_DST/198.51.100.50")
    try sandbox.write(opened.replacing("evil.example", with: "198.51.100.50") + ended, to: "squid.log")
    #expect(try !report("ok.log squid.log").contains("from before the end of connections"))
    // An exception of the host takes the end from none.
    try sandbox.write(
      policy() + "exceptions: [{ host: evil.example, owner: o, reason: r, expires: 2027-01-01 }]\n", to: "e.yaml")
    try sandbox.write(opened + ended, to: "squid.log")
    #expect(try !report("ok.log squid.log", policy: "e.yaml").contains("from before the end of connections"))
  }

  @Test(
    "a Squid format of somebody's own that looks like a known one hides no pod without a sidecar",
    arguments: [
      // A user agent behind the native columns.
      "    46 10.80.3.77 TCP_MISS/200 1660 GET http://evil.example/x - HIER_DIRECT/203.0.113.15 text/html \"a HIER_NONE/- x\"",
      "    46 10.80.3.77 TCP_MISS/200 1660 GET http://evil.example/x - HIER_DIRECT/203.0.113.15 text/html \"curl/8.0\"",
      // Without the last of them.
      "46 10.80.3.77 TCP_MISS/200 1660 GET http://evil.example/x - HIER_DIRECT/203.0.113.15",
    ])
  func likeKnownFormat(columns: String) throws {
    try sandbox.write(
      policy(pods: "pods: [{ name: batch, addresses: [10.80.3.77], sidecar: false }]"), to: "egress.yaml")
    try sandbox.write("1793610300.412 \(columns)\n", to: "squid.log")
    let text = try report("ok.log squid.log")
    #expect(text.contains("no bypass is proven, but this is no all-clear"), "\(text)")
    #expect(text.contains("1 rejected line") || text.contains("1 flow whose lines can be read"), "\(text)")
  }

  @Test("a sidecar's log with what its agent and its proxy write at every start has no rejected line")
  func startup() throws {
    let messages = """
      2026-11-02T08:59:00.000000Z\tinfo\tEffective config: binaryPath: /usr/local/bin/envoy
      configPath: ./etc/istio/proxy
      discoveryAddress: istiod.istio-system.svc:15012
      tracing:
        zipkin:
          address: zipkin.istio-system:9411
      2026-11-02T08:59:00.000000Z\twarning\tenvoy main external/envoy/source/server/server.cc:910\tThere is no configured limit
      2026-11-02T08:59:00.000000Z\tcritical\tenvoy main external/envoy/source/server/server.cc:131\terror initializing\tthread=17
      2026-11-02T08:59:00.000000Z\terror\tRequest to probe app failed: Get "http://10.244.1.5:8080/health": dial tcp 127.0.0.6:0->10.244.1.5:8080: connect: connection refused, original URL path = /app-health/web/readyz
      app URL path = /health
      2026-11-02T08:59:00.000000Z\twarn\tca\tdial tcp: lookup istiod.istio-system.svc on 10.96.0.10:53: read udp 10.244.1.5:41000->10.96.0.10:53: i/o timeout
      2026-11-02T08:59:00.000000Z\tinfo\txdsproxy\tread tcp 10.244.1.5:41000->[fd00::7]:15012: connection reset by peer

      """
    try sandbox.write(messages + sidecar("09:00:00"), to: "start.log")
    let text = try report("start.log")
    #expect(text.contains("no bypass found in what was read"), "\(text)")
  }

  @Test("no sidecar's log covers a time that lies between two of them")
  func betweenLogs() throws {
    try sandbox.write(sidecar("17:00:00") + sidecar("17:10:00"), to: "late.log")
    try sandbox.write(
      (8...18).map { "10.80.3.50 [02/Nov/2026:\($0 < 10 ? "0" : "")\($0):05:42 +0000] TCP [a.example]200 1 2 0.682\n" }
        .joined(),
      to: "sni.log")
    let text = try report("ok.log late.log sni.log", options: "--since 2026-11-02T11:00 --until 2026-11-02T13:00")
    #expect(text.contains("no log of a sidecar was read for the time asked about"), "\(text)")
  }
}
