import Foundation
import Testing

/// Ways in which a bypass could hide by how it ended, or did not: each was an all-clear once.
@Suite struct HiddenByEndingTests: HiddenBypass {
  let sandbox: Sandbox

  init() throws {
    sandbox = try Sandbox()
    try prepare()
  }

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
}
