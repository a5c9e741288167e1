import Testing

/// What Squid writes beside its access log, in its formats `referrer` and `useragent`: the same requests once more, without
/// their end.
@Suite struct SideLogTests {
  let sandbox: Sandbox

  init() throws {
    sandbox = try Sandbox()
    try sandbox.write(
      """
      mesh: { internal: [10.80.0.0/16] }
      gateways: [{ name: egw, addresses: [10.80.3.232] }]
      forward_proxies: [{ name: squid, addresses: [10.80.2.87] }]

      """, to: "egress.yaml")
    try sandbox.write((0..<60).map { sidecar($0) }.joined(), to: "sidecar.log")
    let minutes = 10..<30
    try sandbox.write(
      minutes.map {
        "\(Self.start + 60 * $0).412     46 10.80.3.11 TCP_MISS/200 1660 GET http://i.example/x - HIER_DIRECT/198.51.100.15 text/html\n"
      }.joined(), to: "squid/access.log")
    try sandbox.write(
      minutes.map { "\(Self.start + 60 * $0).412 10.80.3.11 http://a.example/ http://i.example/x\n" }.joined(),
      to: "squid/referer.log")
    try sandbox.write(
      minutes.map { "10.80.3.11 [02/Nov/2026:09:\($0):00 +0000] \"curl/8.0\"\n" }.joined(), to: "squid/useragent.log")
  }

  /// 2026-11-02T09:00:00Z
  private static let start = 1_793_610_000

  /// A tunnel to Squid, one a minute.
  private func sidecar(_ minute: Int) -> String {
    let port = 40_000 + minute
    return
      "[2026-11-02T09:\(minute < 10 ? "0" : "")\(minute):04.580Z] \"- - -\" 0 - - - \"-\" 898 166076 354 - \"-\" \"-\" \"-\" \"-\" \"10.80.2.87:3128\" outbound|3128||proxy.example 10.80.3.11:\(port) 10.80.2.87:3128 10.80.3.11:\(port + 500) - -\n"
  }

  private func report(_ logs: String, _ report: String = "bypass") throws -> String {
    let outcome = try sandbox.shell(
      "rm -f gatewatch.db; $GATEWATCH ingest --policy egress.yaml \(logs) > i.txt; $GATEWATCH report \(report)")
    #expect(outcome.status == 0)
    return outcome.out
  }

  private static let doubt = "of a Squid's referrer or useragent log, of whose requests no access log was read"

  @Test("a request counts once, however many logs Squid writes it into")
  func countsOnce() throws {
    let alone = try report("sidecar.log squid/access.log", "hosts --format csv")
    #expect(alone.contains("i.example,20,"), "\(alone)")
    #expect(try report("sidecar.log squid", "hosts --format csv") == alone)
    let summary = try sandbox.gatewatch("report", "summary").out
    #expect(summary.contains("second views") && !summary.contains(Self.doubt), "\(summary)")
  }

  @Test("without the access log its lines stand against an all-clear, and alert cannot tell")
  func alone() throws {
    for log in ["referer", "useragent"] {
      let text = try report("sidecar.log squid/\(log).log")
      #expect(text.contains("no all-clear") && text.contains("20 lines \(Self.doubt)"), "\(text)")
      let alert = try sandbox.gatewatch("alert")
      #expect(alert.status != 0 && (alert.errors + alert.out).contains("20 lines \(Self.doubt)"), "\(alert.errors)")
      // It was said of these lines.
      #expect(try !sandbox.gatewatch("alert").errors.contains(Self.doubt))
    }
    // Of the times of which it was read, and of that client.
    try sandbox.shell(
      "head -n 10 squid/access.log > half.log; sed s/10.80.3.11/10.80.3.12/ squid/access.log > other.log")
    #expect(try report("sidecar.log half.log squid/referer.log").contains("9 lines \(Self.doubt)"))
    #expect(try report("sidecar.log other.log squid/referer.log").contains("20 lines \(Self.doubt)"))
    #expect(try report("sidecar.log squid/useragent.log", "bypass --host i.example").contains("20 lines \(Self.doubt)"))
    #expect(try !report("sidecar.log squid/referer.log", "bypass --host b.example").contains(Self.doubt))
    // An address is no name: it is any's at which other lines show the host.
    try sandbox.shell("sed s,http://i.example/,http://198.51.100.15/, squid/referer.log > address.log")
    for (host, isDoubt) in [("i.example", true), ("b.example", false)] {
      let text = try report("sidecar.log half.log address.log", "bypass --host \(host)")
      #expect(text.contains("9 lines \(Self.doubt)") == isDoubt, "\(host): \(text)")
    }
  }

  @Test("they stand for the log of no proxy, nor does a web server's log that looks like them")
  func coversNothing() throws {
    try sandbox.write(
      (0..<60).map {
        "10.80.9.9 - - [02/Nov/2026:09:\($0 < 10 ? "0" : "")\($0):00 +0000] \"GET /cart HTTP/1.1\" 200 500 \"-\" \"Mozilla/5.0\" \"-\" \"0.003\"\n"
      }
      .joined(), to: "web.log")
    let alone = try report("sidecar.log", "hosts --format csv")
    #expect(alone.contains(",60,"), "\(alone)")
    for logs in ["squid/useragent.log", "squid/referer.log", "web.log"] {
      #expect(try report("sidecar.log \(logs)", "hosts --format csv") == alone, "\(logs)")
      let text = try sandbox.gatewatch("report", "missing-hops", "--format", "csv").out
      #expect(text.contains("next-hop-not-read,certain"), "\(text)")
      for requirement in ["role=forward-proxy", "next-hops=read"] {
        let outcome = try sandbox.gatewatch("report", "coverage", "--require-coverage", requirement)
        #expect(outcome.status == 3, "\(logs) \(requirement): \(outcome.errors)")
      }
    }
  }
}
