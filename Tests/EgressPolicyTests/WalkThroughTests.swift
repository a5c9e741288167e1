import Flows
import Testing

@testable import EgressPolicy

/// The lines of Istio's egress tasks, as facts, judged together and with no configuration.
@Suite struct WalkThroughTests {
  let facts: Facts
  let judgement: Judgement

  init() {
    let facts = Facts()
    // the sidecar's three lines
    facts.add(
      sidecar("10.80.3.231"),
      to(
        "151.101.1.67:80", cluster: "outbound|80||edition.cnn.com", host: "edition.cnn.com",
        dialled: "151.101.65.67:80", route: "default"),
      Outcome(protocol: "HTTP/1.1", method: "GET", status: 301))
    facts.add(
      sidecar("10.80.3.231"),
      to(
        "151.101.129.67:443", cluster: "outbound|443||edition.cnn.com", host: "edition.cnn.com", origin: .sni,
        dialled: "151.101.65.67:443", traffic: .tcp), Outcome(status: 0))
    facts.add(
      sidecar("10.80.2.77"),
      to(
        "10.80.2.87:3128", cluster: "outbound|3128||my-company-proxy.com", host: "my-company-proxy.com",
        origin: .cluster, traffic: .tcp),
      Outcome(status: 0))
    // the gateway's eight
    let get = Outcome(protocol: "HTTP/2", method: "GET", status: 301)
    facts.add(
      gateway("10.80.3.232", client: "10.80.3.231"),
      to(
        "151.101.1.67:80", cluster: "outbound|80||edition.cnn.com", host: "edition.cnn.com", dialled: "10.80.3.232:8080"
      ), get)
    for upstream in ["151.101.193.67:443", "151.101.1.67:443"] {
      facts.add(
        gateway("10.83.1.219", client: "10.80.3.25"),
        to(
          upstream, cluster: "outbound|443||edition.cnn.com", host: "edition.cnn.com", origin: .sni,
          dialled: "10.83.1.219:443",
          traffic: .tcp), Outcome(status: 0))
    }
    facts.add(
      gateway("10.80.3.232", client: "10.80.3.231"),
      to(
        "151.101.193.67:443", cluster: "outbound|443||edition.cnn.com", host: "edition.cnn.com",
        dialled: "10.80.3.232:8080"),
      Outcome(protocol: "HTTP/2", method: "GET", status: 200))
    for upstream in ["10.80.2.14:443", "10.80.2.19:443"] {
      facts.add(
        gateway("10.80.2.15", client: "10.80.3.231"),
        to(
          upstream, cluster: "outbound|443||my-nginx.mesh-external.svc.cluster.local",
          host: "my-nginx.mesh-external.svc.cluster.local", dialled: "10.80.2.15:8443"),
        Outcome(protocol: "HTTP/1.1", method: "GET", status: 200))
    }
    for host in ["fanyi.baidu.com", "map.baidu.com"] {
      facts.add(
        gateway("10.83.0.193", client: "10.80.3.61", loopback: true),
        to(
          "127.0.0.1:8443", cluster: "outbound|8443||sni-proxy.local", host: host, origin: .sni,
          dialled: "10.83.0.193:443",
          traffic: .tcp), Outcome(status: 0))
    }
    // the SNI proxy's two, and Squid's two
    for host in ["map.baidu.com", "fanyi.baidu.com"] {
      facts.add(
        nginx(client: "127.0.0.1"),
        Destination(host: host, hostOrigin: .sni, port: 443, traffic: .tcp, sni: host, logsUpstream: false),
        Outcome(protocol: "TCP", status: 200))
    }
    for client in ["10.80.2.81", "10.80.2.77"] {
      facts.add(
        squid(client: client),
        Destination(
          host: "map.baidu.com", hostOrigin: .target, port: 443, traffic: .tcp,
          upstream: Endpoint(ip: "180.101.49.69", port: 0)),
        Outcome(method: "CONNECT", status: 200, flags: "TCP_TUNNEL", details: "HIER_DIRECT"))
    }
    facts.logs = [
      LogSpan(log: 1, firstMs: 1_000, lastMs: 9_000), LogSpan(log: 2, firstMs: 1_000, lastMs: 9_000),
      LogSpan(log: 3, firstMs: 1_000, lastMs: 9_000), LogSpan(log: 4, firstMs: 1_000, lastMs: 9_000),
    ]
    self.facts = facts
    judgement = facts.judgement()
  }

  private func route(_ line: Int) -> RouteVerdict { facts.verdict(line, in: judgement).route }

  @Test("straight from the sidecar to a ServiceEntry host is a bypass, HTTP and TLS", arguments: [0, 1])
  func direct(line: Int) {
    let verdict = route(line)
    #expect(verdict.role == .sidecar)
    #expect(verdict.path == .direct)
    #expect(verdict.bypass == .directServiceEntry)
    #expect(verdict.severity == .warning)
    #expect(verdict.assumption == nil)
  }

  @Test("a sidecar's tunnel to port 3128 is taken for a forward proxy, and says so")
  func sidecarToSquid() {
    let verdict = route(2)
    #expect(verdict.role == .sidecar)
    #expect(verdict.path == .proxy)
    #expect(verdict.bypass == nil)
    #expect(verdict.assumption == "10.80.2.87 port 3128 is taken for a forward proxy by its port")
    #expect(verdict.nextHop == .forwardProxy)
    #expect(verdict.nextHopFromMs == -1_000)
    #expect(verdict.nextHopUntilMs == 11_000)
  }

  @Test("the gateway's lines left by the gateway, whatever their upstream", arguments: 3...10)
  func gatewayLines(line: Int) {
    let verdict = route(line)
    #expect(verdict.role == .gateway)
    #expect(verdict.path == .gateway)
    #expect(verdict.bypass == nil)
    #expect(verdict.nextHop == (line >= 9 ? .sniProxy : nil))
  }

  @Test("before hops are joined, no gateway's client is proven", arguments: [3, 4, 6, 9])
  func gatewayClients(line: Int) {
    #expect(route(line).warnings == ["source-unproven"])
    #expect(route(line).claim?.reason == nil)
  }

  @Test(
    "the SNI proxy's lines have path sni-proxy and, before hops are joined, an unproven source", arguments: [11, 12])
  func sniProxy(line: Int) {
    let verdict = route(line)
    #expect(verdict.role == .sniProxy)
    #expect(verdict.path == .sniProxy)
    #expect(verdict.warnings == ["source-unproven"])
  }

  @Test("before hops are joined, no client of Squid is proven")
  func squidClients() {
    #expect(route(13).role == .forwardProxy)
    #expect(route(13).path == .proxy)
    #expect(route(13).warnings == ["source-unproven"])
    #expect(route(14).path == .proxy)
    #expect(route(14).warnings == ["source-unproven"])
  }

  @Test("every line of the walk-through ended well and left", arguments: 0..<15)
  func outcomes(line: Int) {
    let ending = facts.verdict(line, in: judgement).ending
    #expect(ending.outcome == .ok)
    #expect(ending.left)
    #expect(!ending.isDuplicateView)
  }

  @Test("what was assumed over the whole store is listed once")
  func assumptions() {
    #expect(
      judgement.assumptions.filter { $0.contains("10.80.2.87") }
        == ["10.80.2.87 port 3128 is taken for a forward proxy by its port"])
    #expect(judgement.assumptions.contains("10.80.3.232 is taken for an egress gateway because it wrote lines as one"))
    #expect(Set(judgement.assumptions).count == judgement.assumptions.count)
  }
}
