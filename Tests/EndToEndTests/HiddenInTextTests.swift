import Foundation
import Testing

/// Ways in which a bypass could hide in the text of its line, or behind lines that look like another program's.
@Suite struct HiddenInTextTests: HiddenBypass {
  let sandbox: Sandbox

  init() throws {
    sandbox = try Sandbox()
    try prepare()
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
}
