import Flows
import Foundation
import Testing

@testable import AccessLogs

/// Lines: what is counted as what, and what it says.
struct EngineLineTests {
  @Test("a refused request is an access line in JSON too, with nulls for all that it never reached")
  func refusedInJSON() {
    let line =
      #"{"start_time":"2020-08-28T06:32:07.780Z","method":"GET","path":"/a","protocol":"HTTP/1.1","response_code":502,"response_flags":null,"response_code_details":"direct_response","bytes_received":0,"bytes_sent":0,"duration":0,"upstream_host":null,"upstream_cluster":null,"downstream_local_address":"71.85.118.145:80","downstream_remote_address":"10.80.4.142:42841","route_name":"block_all"}"#
    let reading = EngineFeed.read(line + "\n" + line.replacing("\":", with: "\" : ", maxReplacements: 3) + "\n")
    #expect(reading.formats == ["istio-json": 2])
    #expect(reading.flows.map(\.outcome.status) == [502, 502])
    #expect(reading.flows.map(\.destination.routeName) == ["block_all", "block_all"])
    #expect(EngineFeed.read(#"{"method":"GET","path":"/a","start_time":"2020-08-28T06:32:07.780Z"}"#).flows.isEmpty)
  }

  @Test("a line is a request's by its method, its protocol or its status; a connection has none of them")
  func requests() throws {
    func traffic(_ request: String, _ status: String) throws -> Destination.Traffic {
      let line = SampleLine.envoy.replacing("\"GET /a HTTP/1.1\" 200", with: "\"\(request)\" \(status)")
      return try #require(EngineFeed.read(line + "\n").flows.first).destination.traffic
    }
    #expect(try traffic("GET /a HTTP/1.1", "200") == .http && traffic("- - HTTP/1.1", "408") == .http)
    #expect(try traffic("- - HTTP/2", "0") == .http && traffic("- - -", "400") == .http)
    #expect(try traffic("- - -", "0") == .tcp && traffic("- - -", "-") == .tcp)
    // A tunnel's time is a connection's, whether its method is logged or only that it needs no path.
    #expect(try traffic("CONNECT - HTTP/1.1", "200") == .tcp && traffic("- - HTTP/1.1", "200") == .tcp)
    func inJSON(_ values: [(String, String)]) throws -> Destination.Traffic {
      let line = values.reduce(SampleLine.json) { $0.replacing($1.0, with: $1.1) }
      return try #require(EngineFeed.read(line + "\n").flows.first).destination.traffic
    }
    let (method, path) = (#""method":"GET""#, #""path":"/a""#)
    let (http, status) = (#""protocol":"HTTP/1.1""#, #""response_code":200"#)
    let (noMethod, noPath, noHTTP) = (#""method":null"#, #""path":null"#, #""protocol":null"#)
    #expect(try inJSON([(method, noMethod)]) == .http)
    #expect(try inJSON([(method, noMethod), (path, noPath), (status, #""response_code":0"#)]) == .http)
    #expect(try inJSON([(method, noMethod), (path, noPath), (http, noHTTP), (status, #""response_code":0"#)]) == .tcp)
    #expect(try inJSON([(method + ",", ""), (http + ",", ""), (status, #""response_code":"301""#)]) == .http)
  }

  @Test(
    "the status of a call of gRPC is kept as its number, however it is printed",
    arguments: [
      ("%GRPC_STATUS%", "PermissionDenied", "grpc-7"), ("%GRPC_STATUS(SNAKE_STRING)%", "PERMISSION_DENIED", "grpc-7"),
      ("%GRPC_STATUS(NUMBER)%", "7", "grpc-7"), ("%GRPC_STATUS_NUMBER%", "14", "grpc-14"),
      ("%GRPC_STATUS%", "OK", "grpc-0"),
      ("%GRPC_STATUS%", "Canceled", "grpc-1"), ("%GRPC_STATUS(SNAKE_STRING)%", "CANCELLED", "grpc-1"),
      ("%GRPC_STATUS%", "99", nil), ("%GRPC_STATUS%", "-", nil),
    ] as [(String, String, String?)])
  func callStatus(column: String, value: String, sign: String?) throws {
    func kept(_ format: String, _ line: String) throws -> [String?] {
      let feed = EngineFeed(LineParser(formats: [try FormatPlan.guess(format)]))
      feed.read((line + "\n").utf8)
      return feed.reading.flows.map(\.outcome.pseudoTarget)
    }
    let texts = try kept(
      "[%START_TIME%] %REQ(:METHOD)% %RESPONSE_CODE% \(column) %UPSTREAM_HOST%",
      "[2026-11-02T09:05:00.000Z] POST 200 \(value) 203.0.113.9:80")
    #expect(texts == [sign])
    let values = try kept(
      #"{"time":"%START_TIME%","code":"%RESPONSE_CODE%","grpc":"\#(column)","to":"%UPSTREAM_HOST%"}"#,
      #"{"time":"2026-11-02T09:05:00.000Z","code":200,"grpc":"\#(value)","to":"203.0.113.9:80"}"#)
    #expect(values == [sign])
  }

  @Test("a tunnel leads to the host and the port that CONNECT names, whatever was dialled for it")
  func tunnelPort() throws {
    func destination(_ request: String, _ authority: String, _ status: String = "200") throws -> Destination {
      let line = SampleLine.envoy.replacing("\"GET /a HTTP/1.1\" 200", with: "\"\(request)\" \(status)")
        .replacing("\"a.test\"", with: "\"\(authority)\"").replacing("203.0.113.9:80", with: "203.0.113.9:3128")
      return try #require(EngineFeed.read(line + "\n").flows.first).destination
    }
    for request in ["CONNECT - HTTP/1.1", "- - HTTP/1.1"] {
      let tunnel = try destination(request, "b.test:443")
      #expect(tunnel.host == "b.test" && tunnel.port == 443)
      #expect(try destination(request, "b.test").port == 3128)
    }
    // What a request asks for in its Host is no place, nor is it that of a WebSocket, which joins as a request.
    #expect(try destination("GET /a HTTP/1.1", "b.test:443").port == 3128)
    #expect(try destination("GET /a HTTP/1.1", "b.test:443", "101").port == 3128)
  }

  @Test("without another name the host is the one that the cluster was made for, a waypoint's as any")
  func clusterHosts() throws {
    for cluster in ["outbound|5432||db.test", "inbound-vip|5432|tcp|db.test", "inbound-vip|5432|tcp/v1|db.test"] {
      let line = SampleLine.envoy.replacing("GET /a HTTP/1.1", with: "- - -").replacing("\"a.test\"", with: "\"-\"")
        .replacing("outbound|80||a.test", with: cluster)
      let destination = try #require(EngineFeed.read(line + "\n").flows.first).destination
      #expect(destination.host == "db.test" && destination.hostOrigin == .cluster, "\(cluster)")
    }
  }

  @Test("columns that a client put into a text of several columns, as a value of JSON, are in doubt as in a text line")
  func ambiguousValues() throws {
    let plan = try FormatPlan.guess(
      #"{"time":"%START_TIME%","code":"%RESPONSE_CODE%","flags":"%RESPONSE_FLAGS%","to":"%UPSTREAM_HOST%","hop":"%REQ(USER-AGENT)% %UPSTREAM_CLUSTER% %REQ(X-A)%"}"#
    )
    func line(_ hop: String) -> String {
      #"{"time":"2026-11-02T09:05:00.000Z","code":"200","flags":"-","to":"203.0.113.9:80","hop":"\#(hop)"}"# + "\n"
    }
    let feed = EngineFeed(LineParser(formats: [plan]))
    feed.read(
      (line("curl PassthroughCluster -") + line("curl outbound|80||istio-egressgateway PassthroughCluster -")).utf8)
    #expect(feed.reading.flows.map { $0.outcome.warnings.contains(.ambiguousColumns) } == [false, true])
  }

  @Test("a time or an amount of bytes that no calendar and no network has is none")
  func absurdNumbers() {
    let lines = [
      SampleLine.squid.replacing("1598596320.597", with: "1598596320.9223372036854775807"),
      SampleLine.squid.replacing("1598596320.597", with: "99999999999999.597"),
      SampleLine.squid.replacing("TCP_TUNNEL/200 5491", with: "TCP_TUNNEL/200 9223372036854775806"),
    ]
    let reading = EngineFeed.read(([SampleLine.squid] + lines).joined(separator: "\n") + "\n")
    #expect(
      reading.flows.map(\.startedAtMs) == [1_598_596_320_582, 1_598_596_319_985, 1_598_596_320_582])
    #expect(reading.rejected.values.reduce(0, +) == 1)
    #expect(reading.flows.map(\.sent).last == -1)
    #expect(reading.flows.map { $0.outcome.warnings.contains(.numberInvalid) } == [false, true, true])
  }

  @Test("the format changes from line to line without a trace")
  func mixed() {
    let lines = [
      SampleLine.envoy, SampleLine.squid, SampleLine.json,
      "127.0.0.1 [28/Aug/2020:06:32:00 +0000] TCP [edition.cnn.com]200 5491 897 0.015",
    ]
    let alone = lines.map { EngineFeed.read($0).flows[0] }
    var random = SplitMix(state: 3)
    let order = (0..<400).map { _ in Int.random(in: 0..<lines.count, using: &random) }
    let reading = EngineFeed.read(order.map { lines[$0] + "\n" }.joined())
    #expect(reading.flows.count == order.count)
    for (flow, index) in zip(reading.flows, order) {
      var expected = alone[index]
      expected.line = flow.line
      #expect(flow == expected)
    }
  }

  @Test("columns that a client forged make a line ambiguous or leave it as it is, never something else")
  func ambiguous() {
    let forged = [
      #"" 200 - via_upstream - "-" 1 2 3 4 "-" "x"#, #"x" "-" "b.test" "198.51.100.1:80"#, #"" ""#,
      #"" "-" "-" "a.test" "203.0.113.9:80" outbound|80||a.test 10.0.0.1:1 203.0.113.9:80 10.0.0.1:2 - default"#,
    ]
    let honest = EngineFeed.read(SampleLine.envoy).flows[0]
    for agent in forged {
      let reading = EngineFeed.read(SampleLine.envoy.replacing("curl", with: agent))
      #expect(reading.linesRead == 1)
      for flow in reading.flows where flow.destination != honest.destination {
        #expect(flow.outcome.warnings.contains(.ambiguousColumns), "\(agent)")
      }
    }
  }

  @Test(
    "the client is who connected, where that is logged, whatever a header says of it",
    arguments: [
      ("$remote_addr $remote_port $realip_remote_addr $realip_remote_port", "10.0.0.1 1 10.0.0.2 2", "10.0.0.2 2"),
      // The port in a header is no port of the connection.
      ("$remote_addr $remote_port $realip_remote_addr", "10.0.0.1 1 10.0.0.2", "10.0.0.2 0"),
      ("$remote_addr $remote_port $realip_remote_addr", "10.0.0.2 1 10.0.0.2", "10.0.0.2 1"),
      ("$remote_addr $realip_remote_addr $realip_remote_port", "10.0.0.1 - -", "10.0.0.1 0"),
      ("$remote_addr:$remote_port $proxy_protocol_addr", "10.0.0.1:1 10.0.0.3", "10.0.0.1 1"),
      (
        "%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_DIRECT_REMOTE_PORT%",
        "10.0.0.1:1 10.0.0.2 2", "10.0.0.2 2"
      ),
      (
        "%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%", "10.0.0.1:1 10.0.0.2",
        "10.0.0.2 0"
      ),
    ])
  func whoConnected(format: String, columns: String, client: String) throws {
    let plan: FormatPlan =
      format.hasPrefix("$")
      ? try .nginx("$msec $status \(format)", http: false) : try .envoy("%START_TIME% %RESPONSE_CODE% \(format)")
    let time = format.hasPrefix("$") ? "1793617201.812" : "2026-11-02T10:00:01.500Z"
    let flow = try #require(EngineFeed.read(Array("\(time) 200 \(columns)\n".utf8), formats: [plan]).flows.first)
    #expect("\(flow.source.clientIP ?? "") \(flow.sourcePort)" == client)
    #expect(!flow.source.clientIsForwarded)
  }

  @Test(
    "a server name with blanks or quotes in it is columns that the format does not know, and no name",
    arguments: [
      ("- - traceID=-", true), ("a.test - traceID=-", true), ("- - - -", true), ("a b.test -", true),
      (#"a" "b.test -"#, true), ("- -", false), ("a.test -", false), ("invalid:a_b.test -", false),
    ])
  func columnsInServerName(tail: String, areMore: Bool) throws {
    let line =
      #"[2026-11-02T10:00:01.500Z] "- - -" 0 - - - "-" 517 3200 41 - "-" "-" "-" "-" "203.0.113.60:443" PassthroughCluster 10.80.3.11:48390 203.0.113.60:443 10.80.3.11:44674 "#
    let flow = try #require(EngineFeed.read(line + tail + "\n").flows.first)
    #expect(flow.outcome.warnings.contains(.ambiguousColumns) == areMore)
    let name = tail.prefix { $0 != " " }
    #expect(flow.destination.sni == (areMore || name == "-" ? nil : String(name)))
    #expect(flow.destination.host == (name == "a.test" && !areMore ? "a.test" : "203.0.113.60"))
    #expect(!areMore || flow.outcome.warnings.isDisjoint(with: [.sniInvalid, .hostMismatch]))
    // Where it stands in quotes, it is one column, whatever its client wrote.
    let quoted = try FormatPlan.envoy("[%START_TIME%] \"%REQUESTED_SERVER_NAME%\" %UPSTREAM_HOST%")
    let bytes = Array("[2026-11-02T10:00:01.500Z] \"- b\" 203.0.113.60:443\n".utf8)
    let whole = try #require(EngineFeed.read(bytes, formats: [quoted]).flows.first)
    #expect(whole.destination.sni == "- b" && !whole.outcome.warnings.contains(.ambiguousColumns))
  }

  @Test(
    "what is not an access line is skipped by its kind",
    arguments: [
      ("", "blank"), ("   \t", "blank"), ("\r", "blank"),
      ("[2024-01-02 03:04:05.678][12][warning][config] x", "envoy-log"),
      ("2024-01-02T03:04:05.678901Z\tinfo\tx", "istio-agent"),
      ("2024/01/02 03:04:05 [error] 12#12: *3 x", "nginx-error"),
      ("2024/01/02 03:04:05 kid1| x", "squid-cache-log"), ("2024/01/02 03:04:05| x", "squid-cache-log"),
      ("==> a.log <==", "tail-header"),
      (
        "2024-01-02T03:04:05.678901Z\twarn\tx read tcp 10.80.3.11:40000->10.80.0.9:15012: connection reset",
        "istio-agent"
      ),
      ("Envoy proxy is ready", "istio-agent"),
      ("/docker-entrypoint.sh: x", "container-start"), ("Defaulted container \"a\" out of: a, b", "kubectl"),
      ("+ pod \u{203A} container", "stern"), ("nginx: [warn] x", "nginx-error"),
      (#"{"level":"info","time":"2024-01-02T03:04:05Z","scope":"a","msg":"b"}"#, "istio-agent"),
    ])
  func skipped(line: String, kind: String) {
    let reading = EngineFeed.read(line + "\n")
    #expect(reading.skipped == [kind: 1])
    // Cut anywhere, it is still no access line.
    for cut in 0..<line.utf8.count {
      #expect(EngineFeed.read(Array(line.utf8.prefix(cut)) + [ASCII.newline]).flows.isEmpty)
    }
  }

  @Test(
    "traffic in the clothes of another program's message is rejected, not skipped",
    arguments: [
      #"{"level":"info","time":"2026-11-02T09:05:00.000Z","msg":"access","method":"GET","response_code":200,"upstream_cluster":"PassthroughCluster"}"#,
      #"{"level":"info","time":"2026-11-02T09:05:00.000Z","scope":"access","src.addr":"10.80.3.11:40000"}"#,
      #"[2026-11-02 09:05:00.123][access] "POST /up HTTP/1.1" 200 - 300000 2381 12 "evil.example" "203.0.113.66:80""#,
      "[2026-11-02 09:05:00.123][12][access] x",
      "2026-11-02T09:05:00.123Z\tinfo\taccess \"POST /up HTTP/1.1\" 200 - 300000",
      #"{"level":"info","time":"2026-11-02T09:05:00.000Z","scope":"mesh","cluster_name":"PassthroughCluster","to":"203.0.113.60:80"}"#,
      "2026-11-02T09:05:00.123Z\tinfo\tenvoy access\t10.80.3.11:40000 203.0.113.66:80 10.80.3.11:51003 PassthroughCluster",
      "2026/11/02 09:05:42 [10.80.3.99] TCP evil.example 200 4875 901 0.618",
      "2026/11/02 09:05:42 | 10.80.3.99 | CONNECT evil.example:443 | 200",
      "+ 2026 \u{203A} 203.0.113.66 PassthroughCluster",
    ])
  func disguised(line: String) {
    let reading = EngineFeed.read(line + "\n")
    #expect(reading.skipped == [:] && reading.flows.isEmpty, "\(reading.skipped)")
  }

  @Test(
    "a client without a port came from a header where the sidecar's own address is another, or the port is 0",
    arguments: [
      ("10.80.9.9", "-", "10.80.3.13", "203.0.113.60", "PassthroughCluster", true),
      ("10.80.3.13", "-", "10.80.3.13", "203.0.113.60", "PassthroughCluster", false),
      ("10.80.3.13", "0", "10.80.3.13", "203.0.113.60", "PassthroughCluster", true),
      ("10.80.9.9", "41000", "10.80.3.13", "203.0.113.60", "PassthroughCluster", false),
      // A gateway, and a server's side.
      ("10.80.3.13", "-", "10.80.3.232", "10.80.3.232", "outbound|80||a.test", false),
      ("10.80.3.13", "-", "127.0.0.6", "10.80.3.14", "inbound|80||", false),
    ])
  func clientsWithoutPort(
    client: String, port: String, local: String, dialled: String, cluster: String, isForwarded: Bool
  ) throws {
    let plan = try FormatPlan.guess(
      "[%START_TIME%] %RESPONSE_CODE% %RESPONSE_FLAGS% %UPSTREAM_HOST% %UPSTREAM_CLUSTER% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_REMOTE_PORT%"
    )
    let line =
      "[2026-11-02T10:00:01.500Z] 200 - 203.0.113.60:80 \(cluster) \(local):48390 \(dialled):80 \(client) \(port)\n"
    let feed = EngineFeed(LineParser(formats: [plan]))
    feed.read(line.utf8)
    #expect(feed.reading.flows.map(\.source.clientIsForwarded) == [isForwarded])
  }

  @Test("an upstream address alone shows no attempt that failed, with or without its port")
  func failedAttempts() throws {
    for column in ["%UPSTREAM_REMOTE_ADDRESS%", "%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"] {
      let plan = try FormatPlan.guess(
        "[%START_TIME%] %UPSTREAM_CLUSTER% \(column) %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %BYTES_RECEIVED% %BYTES_SENT%"
      )
      let feed = EngineFeed(LineParser(formats: [plan]))
      feed.read("[2026-11-02T10:00:01.500Z] PassthroughCluster - - 203.0.113.60:443 10.80.3.11:51000 0 0\n".utf8)
      #expect(feed.reading.flows.map(\.destination.logsUpstream) == [false], "\(column)")
    }
  }
}
