import Foundation
import Testing

/// Which format a line is read by, where several could be it, and what a line tells of columns that its format lacks.
@Suite struct FormatChoiceTests {
  let sandbox: Sandbox
  static let clear = "no bypass found in what was read"

  /// Keys of Istio's default beside others, those that every line of a proxy has among them.
  static let ownJSON = """
    {"start_time": "%START_TIME%", "method": "%REQ(:METHOD)%", "status": "%RESPONSE_CODE%", "response_flags": "%RESPONSE_FLAGS%",
     "duration": "%DURATION%", "host": "%REQ(:AUTHORITY)%", "upstream": "%UPSTREAM_HOST%", "cluster": "%UPSTREAM_CLUSTER%",
     "local": "%UPSTREAM_LOCAL_ADDRESS%", "dialled": "%DOWNSTREAM_LOCAL_ADDRESS%", "client": "%DOWNSTREAM_REMOTE_ADDRESS%"}
    """

  init() throws {
    sandbox = try Sandbox()
    try sandbox.write(
      """
      mesh: { internal: [10.80.0.0/16] }
      gateways: [{ name: egress, hosts: [istio-egressgateway.istio-system.svc.cluster.local], addresses: [10.80.3.232] }]

      """, to: "egress.yaml")
    try sandbox.write(Self.ownJSON, to: "own.json")
    let cluster = "outbound|80||istio-egressgateway.istio-system.svc.cluster.local"
    try sandbox.write(
      ["00", "20"].map {
        "[2026-11-02T09:\($0):00.000Z] \"GET / HTTP/1.1\" 200 - via_upstream - \"-\" 0 5 2 2 \"-\" \"-\" \"-\" \"api.pay.example\" \"10.80.3.232:8080\" \(cluster) 10.80.3.11:50000 198.51.100.20:80 10.80.3.11:50001 - -\n"
      }.joined(), to: "sidecar.log")
    try sandbox.write(
      ["00", "20"].map {
        "[2026-11-02T09:\($0):00.001Z] \"GET / HTTP/2\" 200 - via_upstream - \"-\" 0 5 2 2 \"-\" \"-\" \"-\" \"api.pay.example\" \"198.51.100.20:80\" outbound|80||api.pay.example 10.80.3.232:42000 10.80.3.232:8080 10.80.3.11:50000 - -\n"
      }.joined(), to: "gateway.log")
  }

  private func shell(_ options: String, _ logs: String, _ command: String) throws -> String {
    let outcome = try sandbox.shell(
      "rm -f gatewatch.db; $GATEWATCH ingest --policy egress.yaml \(options) \(logs) > i.txt; $GATEWATCH \(command)")
    #expect(outcome.status == 0)
    return outcome.out.replacingOccurrences(of: "\r\n", with: "\n")
  }

  private func report(_ options: String, _ logs: String, _ report: String = "bypass") throws -> String {
    try shell(options, "sidecar.log gateway.log " + logs, "report \(report)")
  }

  private func count(_ options: String, _ logs: String, _ columns: String) throws -> String {
    try shell(
      options, logs, "query --format csv -e 'select \(columns), count(*) as n from flows group by 1, 2 order by 1, 2'")
  }

  /// A request to 203.0.113.66 in Istio's default JSON.
  private func istioJSON(_ time: String, upstream: String? = #""upstream_host":"203.0.113.66:80","#) -> String {
    #"{"start_time":"2026-11-02T\#(time).000Z","method":"GET","path":"/","protocol":"HTTP/1.1","response_code":200,"response_flags":"-","bytes_received":0,"bytes_sent":500,"duration":5,"authority":"evil.example",\#(upstream ?? "")"upstream_cluster":"PassthroughCluster","upstream_local_address":null,"downstream_local_address":"203.0.113.66:80","downstream_remote_address":"10.80.3.11:51003"}"#
      + "\n"
  }

  private func own(_ time: String, upstream: String = "203.0.113.66:80") -> String {
    #"{"start_time":"2026-11-02T\#(time).000Z","method":"GET","status":200,"response_flags":"-","duration":5,"host":"evil.example","upstream":"\#(upstream)","cluster":"PassthroughCluster","local":"10.80.3.11:50009","dialled":"203.0.113.66:80","client":"10.80.3.11:51003"}"#
      + "\n"
  }

  @Test(
    "a request of which the JSON has no key for the upstream, or one of another name, is judged by where it was sent",
    arguments: [nil, #""upstream":"203.0.113.66:80","#])
  func unnamedUpstream(key: String?) throws {
    try sandbox.write(istioJSON("09:05:00", upstream: key), to: "a.log")
    #expect(try report("", "a.log").contains("1 flow left around the egress gateway"))
  }

  @Test(
    "what was never sent is told by its cluster, its route or Envoy's own answer, also where no upstream is logged",
    arguments: [
      ("502 - direct_response - block_all", "none,blocked,1"), ("0 UH - BlackHoleCluster -", "none,blocked,1"),
      ("404 NR route_not_found - -", "none,blocked,1"),
      // It may have been tried at a host before none was healthy.
      ("503 UH no_healthy_upstream outbound|80||api.example -", "unknown,mesh-fault,1"),
    ])
  func withoutUpstream(ending: String, row: String) throws {
    try sandbox.write(
      "[%START_TIME%] %REQ(:METHOD)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_CLUSTER% %ROUTE_NAME% %BYTES_RECEIVED% %BYTES_SENT% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS%",
      to: "format.txt")
    try sandbox.write(
      "[2026-11-02T09:05:00.000Z] \(ending.hasPrefix("0") ? "-" : "GET") \(ending) 0 0 203.0.113.66:80 10.80.3.11:51003\n",
      to: "a.log")
    let text = try count("--log-format @format.txt", "a.log", "path, outcome")
    #expect(text == "path,outcome,n\n\(row)\n")
  }

  @Test("of JSON formats that share keys a line is the one's that knows most of its keys, whatever stands before it")
  func sharedKeys() throws {
    let lines = ["09:05:00", "09:05:01", "09:05:02"]
    for text in [
      lines.map { istioJSON($0) } + lines.map { istioJSON($0) }, lines.map { istioJSON($0) + own($0) },
      lines.map { own($0) + istioJSON($0) },
      [lines.map { own($0) }.joined(), lines.map { istioJSON($0) }.joined()],
    ] {
      try sandbox.write(text.joined(), to: "a.log")
      let text = try count("--log-format @own.json", "a.log", "destination_ip, bypass")
      #expect(text == "destination_ip,bypass,n\n203.0.113.66,passthrough,6\n")
    }
  }

  @Test("a line that the format which knows it best refuses is read by no other")
  func refused() throws {
    // Istio's keys, and no address where one should stand: what the own format knows of it would be a request never sent.
    let line = istioJSON("09:05:00").replacingOccurrences(of: "10.80.3.11:51003", with: "no address")
    try sandbox.write(line, to: "a.log")
    #expect(try count("--log-format @own.json", "a.log", "path, outcome") == "path,outcome,n\n")
  }

  @Test("an application's JSON that shares keys with a format of one's own is none of its lines")
  func applications() throws {
    try sandbox.write(
      own("09:05:00")
        + #"{"start_time":"2026-11-02T09:05:00.000Z","method":"GET","status":500,"duration":7,"host":"shop","message":"x"}"#
        + "\n", to: "a.log")
    #expect(try count("--log-format @own.json", "a.log", "destination_ip, outcome").split(separator: "\n").count == 2)
    #expect(try sandbox.shell("cat i.txt").out.contains("1 rejected"))
  }

  @Test("so it is behind a line in which they say the same, and the built-in format is no rival of one's own")
  func equalKeys() throws {
    let swapped = Self.ownJSON.replacingOccurrences(of: "\"upstream\"", with: "\"x\"")
      .replacingOccurrences(of: "\"dialled\"", with: "\"upstream\"").replacingOccurrences(
        of: "\"x\"", with: "\"dialled\"")
    try sandbox.write(swapped, to: "swapped.json")
    // Where both columns say the same, the order of the keys must not be learnt.
    try sandbox.write(own("09:05:00") + own("09:05:01", upstream: "10.80.9.9:80"), to: "a.log")
    let text = try count("--log-format @own.json --log-format @swapped.json", "a.log", "started_at, warnings")
    #expect(text.contains("09:05:00.000Z,,1\n") && text.contains("09:05:01.000Z,ambiguous-columns,1\n"), "\(text)")

    let better = istioJSON("%X%").replacingOccurrences(of: "2026-11-02T%X%.000Z", with: "%START_TIME%")
      .replacingOccurrences(
        of: "\"203.0.113.66:80\",\"upstream_cluster", with: "\"%UPSTREAM_REMOTE_ADDRESS%\",\"upstream_cluster"
      )
      .replacingOccurrences(of: "PassthroughCluster", with: "%UPSTREAM_CLUSTER%")
      .replacingOccurrences(of: "\"203.0.113.66:80\"", with: "\"%DOWNSTREAM_LOCAL_ADDRESS%\"")
      .replacingOccurrences(of: "10.80.3.11:51003", with: "%DOWNSTREAM_REMOTE_ADDRESS%")
    try sandbox.write(better, to: "better.json")
    try sandbox.write(istioJSON("09:05:00"), to: "a.log")
    #expect(try count("--log-format @better.json", "a.log", "warnings, bypass").contains("\n,passthrough,1\n"))
  }

  @Test("a line of two formats of one's own that nothing tells apart is ambiguous, and clears nothing")
  func mistakable() throws {
    let first = "[%START_TIME%] %RESPONSE_CODE% %UPSTREAM_HOST% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS%"
    try sandbox.write(first, to: "first.txt")
    try sandbox.write(
      "[%START_TIME%] %RESPONSE_CODE% %DOWNSTREAM_LOCAL_ADDRESS% %UPSTREAM_HOST% %DOWNSTREAM_REMOTE_ADDRESS%",
      to: "second.txt")
    try sandbox.write("[2026-11-02T09:05:00.000Z] 200 10.80.9.9:80 203.0.113.66:80 10.80.3.11:51003\n", to: "a.log")
    for options in [["first", "second"], ["second", "first"]] {
      let formats = options.map { "--log-format @\($0).txt" }.joined(separator: " ")
      #expect(try count(formats, "a.log", "warnings, 1").contains("ambiguous-columns"))
      #expect(try !report(formats, "a.log").contains(Self.clear))
    }
    // The same format twice is none of two.
    #expect(try !count("--log-format @first.txt --log-format @first.txt", "a.log", "warnings, 1").contains("ambiguous"))
  }

  @Test("so is one whose client may have written what the other format has in the column of the upstream, or nothing")
  func mistakableHeader() throws {
    let rest = "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS%"
    try sandbox.write(
      "[%START_TIME%] %RESPONSE_CODE% %UPSTREAM_CLUSTER% \"%UPSTREAM_HOST%\" \(rest)", to: "upstream.txt")
    try sandbox.write("[%START_TIME%] %RESPONSE_CODE% %UPSTREAM_CLUSTER% \"%REQ(X-TEAM)%\" \(rest)", to: "header.txt")
    for value in ["-", "10.80.3.232:8080"] {
      try sandbox.write(
        "[2026-11-02T09:05:00.000Z] 200 PassthroughCluster \"\(value)\" 203.0.113.66:80 10.80.3.11:51003\n", to: "a.log"
      )
      for formats in [
        "--log-format @upstream.txt --log-format @header.txt", "--log-format @header.txt --log-format @upstream.txt",
      ] {
        #expect(try count(formats, "a.log", "warnings, 1").contains("ambiguous-columns"))
        #expect(try !report(formats, "a.log").contains(Self.clear))
      }
    }
    // What says which team it is can be no address.
    try sandbox.write(
      "[2026-11-02T09:05:00.000Z] 200 PassthroughCluster \"shop\" 203.0.113.66:80 10.80.3.11:51003\n", to: "a.log")
    let formats = "--log-format @upstream.txt --log-format @header.txt"
    #expect(try !count(formats, "a.log", "warnings, 1").contains("ambiguous-columns"))
  }

  @Test("a format of one's own is read before a built-in one of its shape, whatever the line before was")
  func mistakableForBuiltIn() throws {
    let own = try String(contentsOf: URL(filePath: sandbox.path("sidecar.log")), encoding: .utf8).split(
      separator: "\n")[0]
    try sandbox.write(
      "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%UPSTREAM_HOST%\" \"%REQ(:AUTHORITY)%\" %UPSTREAM_CLUSTER% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%",
      to: "swapped.txt")
    let line = own.replacingOccurrences(
      of: "\"api.pay.example\" \"10.80.3.232:8080\"", with: "\"203.0.113.66:80\" \"10.80.3.232:8080\"")
    try sandbox.write(own + "\n" + line + "\n", to: "a.log")
    #expect(try report("--log-format @swapped.txt", "a.log").contains("1 flow left around the egress gateway"))
  }
}
