import Flows
import Testing

@testable import EgressPolicy

/// What a client can write clears nothing, more lines clear nothing by themselves, and order means nothing.
@Suite struct SpoofingTests {
  static let policyText = """
    mesh: { internal: [10.80.0.0/16, "*.svc.cluster.local"] }
    gateways: [ { name: egress, hosts: [egress.istio-system.svc.cluster.local], addresses: [10.80.3.232] } ]
    forward_proxies: [ { name: squid, hosts: [my-company-proxy.com], addresses: [10.80.2.87] } ]
    exceptions:
      - { host: "*.example.com", source: 10.80.5.0/24 }
      - { host: vendor.example.net }
    """

  @Test(
    "no authority and no SNI clears a bypass",
    arguments: [
      "a.example.com", "vendor.example.net", "x.svc.cluster.local", "egress.istio-system.svc.cluster.local",
      "my-company-proxy.com",
      "istio-egressgateway.istio-system.svc.cluster.local", "outbound_.80_._.x.svc.cluster.local", "10.80.3.232",
      "127.0.0.1", "squid", "",
    ])
  func names(name: String) {
    for policy in [nil, SpoofingTests.policyText] {
      let facts = Facts(policy: policy)
      for cluster in ["PassthroughCluster", "outbound|443||h.example", "outbound|443||*.example"] {
        for origin in [Destination.HostOrigin.authority, .sni] {
          let line = facts.add(
            sidecar("10.80.5.1"), to("203.0.113.9:443", cluster: cluster, host: name, origin: origin, sni: name))
          #expect(facts.route(line).bypass != nil)
          #expect(facts.route(line).exception == nil)
        }
      }
    }
  }

  @Test("a forged X-Forwarded-For neither matches an exception nor names a pod nor proves a client")
  func forwardedFor() {
    let facts = Facts(policy: SpoofingTests.policyText + "\npods: [ { name: sleep, addresses: [10.80.5.1] } ]")
    let line = facts.add(
      sidecar("10.80.6.6", forwarded: "10.80.5.1"), to("203.0.113.9:443", cluster: "outbound|443||a.example.com"))
    #expect(facts.route(line).exception == nil)
    #expect(facts.judgement().sourceClasses[line].name == nil)
    facts.add(sidecar("10.80.5.1"), to("203.0.113.9:443", cluster: "outbound|443||b"))
    var source = gateway("10.80.3.232", client: "10.80.5.1")
    source.clientIsForwarded = true
    let forged = facts.add(source, to("203.0.113.9:443", cluster: "outbound|443||b"))
    #expect(facts.route(forged).warnings == ["source-unproven"])
    // nor does it teach that an address is the mesh
    let zero = Facts()
    zero.add(sidecar("10.80.6.6", forwarded: "10.99.0.1"), to("203.0.113.9:443", cluster: "outbound|443||b"))
    let target = zero.add(sidecar("10.80.6.6"), to("10.99.0.1:443", cluster: "PassthroughCluster"))
    #expect(zero.route(target).path == .unknown)
  }

  @Test("a workload that dials its own address with a foreign Host does not look like a gateway")
  func selfCall() {
    let facts = Facts()
    let line = facts.add(
      gateway("10.80.5.1", client: "10.80.5.1"),
      to("203.0.113.9:80", cluster: "outbound|80||h.example", dialled: "10.80.5.1:80"))
    #expect(facts.route(line).role == .sidecar)
    #expect(facts.route(line).bypass == .directServiceEntry)
    let proxied = facts.add(squid(client: "10.80.5.1"), Destination(host: "h.example", hostOrigin: .target))
    #expect(facts.route(proxied).warnings == ["source-unproven"])
  }

  @Test(
    "nor one that forges where it comes from, once sidecars' lines show the address to be a pod's; a gateway stays one")
  func forgedSelfCall() {
    func line(_ own: String, _ policy: String?, isPod: Bool = true, role: Role? = nil) -> RouteVerdict {
      let facts = Facts(policy: policy)
      var source = gateway(own, client: "192.0.2.1", log: 1)
      source.clientIsForwarded = true
      let line = facts.add(
        source, to("203.0.113.9:80", cluster: "outbound|80||h.example", dialled: "\(own):80"), role: role)
      if isPod { facts.add(sidecar(own), to("203.0.113.1:443", cluster: "outbound|443||h.example")) }
      return facts.route(line)
    }
    for policy in [nil, SpoofingTests.policyText] {
      let forged = line("10.80.5.1", policy)
      #expect(forged.role == .sidecar && forged.bypass == .directServiceEntry)
      // Of an address of which nobody knows anything, it stays open.
      #expect(line("10.80.5.1", policy, isPod: false).role == .gateway)
      #expect(line("10.80.5.1", policy, isPod: false).assumption != nil)
      #expect(line("10.80.5.1", policy, role: .gateway).role == .gateway)
    }
    #expect(line("10.80.3.232", SpoofingTests.policyText).role == .gateway)
    // Also one that the policy knows by the name of its service.
    let facts = Facts(policy: "gateways: [ { name: egress, hosts: [egress.example] } ]")
    var source = gateway("10.80.5.1", client: "192.0.2.1", log: 1)
    source.clientIsForwarded = true
    let named = facts.add(source, to("203.0.113.9:80", cluster: "outbound|80||h.example", dialled: "10.80.5.1:80"))
    facts.add(sidecar("10.80.5.1"), to("203.0.113.1:443", cluster: "outbound|443||h.example"))
    facts.add(sidecar("10.80.5.2"), to("10.80.5.1:80", cluster: "outbound|80||egress.example"))
    #expect(facts.route(named).role == .gateway)
  }

  @Test("a sidecar that feeds a proxy in its own pod does not look like a gateway")
  func loopback() {
    let facts = Facts()
    for dialled in ["203.0.113.9", "240.240.0.5"] {
      let line = facts.add(
        gateway(dialled, client: "10.80.5.1", loopback: true), to("127.0.0.1:8443", cluster: "outbound|8443||sni.local")
      )
      #expect(facts.route(line).role == .sidecar)
      #expect(facts.route(line).path == .unknown)
      #expect(facts.route(line).assumption != nil)
    }
  }

  @Test("that a client's sidecar wrote lines, even to the same proxy, proves none of its other flows")
  func otherLinesProveNothing() {
    let facts = Facts()
    facts.add(sidecar("10.80.3.11"), to("203.0.113.1:443", cluster: "outbound|443||h.example"))
    facts.add(sidecar("10.80.3.12"), to("10.80.2.87:3128", cluster: "outbound|3128||squid"))
    for client in ["10.80.3.11", "10.80.3.12"] {
      for source in [squid(client: client), nginx(client: client), gateway(client: client)] {
        let line = facts.add(source, to("203.0.113.9:443", host: "h.example", origin: .target))
        #expect(facts.route(line).warnings == ["source-unproven"])
      }
    }
  }

  /// Lines of every kind over a small world, so that they meet.
  private func randomFacts(_ seed: UInt64, count: Int, policy: String?) -> Facts {
    var generator = SplitMix(state: seed)
    let facts = Facts(policy: policy)
    let pods = ["10.80.3.11", "10.80.3.12", "10.80.5.1", "192.168.7.7"]
    let upstreams = [
      "203.0.113.9:443", "10.80.3.232:8443", "10.80.3.12:80", "10.80.2.87:3128", "192.168.7.7:80", "127.0.0.1:8443",
      "169.254.169.254:80", "240.240.0.1:443", "203.0.113.8:3128", "100.64.0.9:80",
    ]
    let clusters: [String?] = [
      "PassthroughCluster", "outbound|443||a.example.com", "outbound|443||egress.istio-system.svc.cluster.local",
      "outbound|443||istio-egressgateway.x", "outbound|80||x.svc.cluster.local", "inbound|80||", "BlackHoleCluster",
      nil,
      "outbound|3128||my-company-proxy.com", "outbound_.80_._.x", "agent", "custom", "outbound|443||*.example.com",
    ]
    func pick<T>(_ all: [T]) -> T { all.randomElement(using: &generator)! }
    for _ in 0..<count {
      var destination = to(
        pick(upstreams), cluster: pick(clusters), host: pick(["a.example.com", "x.svc.cluster.local"]),
        dialled: pick(upstreams))
      if Int.random(in: 0..<6, using: &generator) == 0 { destination.upstream = nil }
      let source: Source =
        switch Int.random(in: 0..<8, using: &generator) {
        case 0: gateway(pick(["10.80.3.232", "10.80.9.9", "203.0.113.9"]), client: pick(pods))
        case 1: gateway("10.80.3.232", client: pick(pods), loopback: true)
        case 2: inbound(pick(pods), client: pick(pods), peer: pick([nil, "spiffe://a"]))
        case 3: unsent(client: pick(pods))
        case 4: squid(client: pick(pods))
        case 5: nginx(client: pick(pods))
        case 6: sidecar(pick(pods), forwarded: pick(pods))
        default: sidecar(pick(pods))
        }
      facts.add(source, destination, Outcome(status: pick([0, 200, 403, 503]), flags: pick([nil, "UF", "DC"])))
    }
    facts.logs = (1...4).map { LogSpan(log: $0, firstMs: $0 * 1_000, lastMs: $0 * 5_000) }
    return facts
  }

  @Test("no text in a fact makes the judge crash, and every flow still gets a verdict", arguments: 0..<60)
  func hostileText(seed: UInt64) {
    var generator = SplitMix(state: seed)
    let pieces = [
      "|", "outbound|", "||", ".", "..", "*", "*.", ":", "::", "[", "%", "10.0.0.1", "203.0.113.9", "e\u{301}",
      "\u{202e}", "\0", "\n",
      "|\u{301}", ".\u{301}", "PassthroughCluster", ";", "outbound_.", "example.com", "-", " ", "\u{FFFD}",
      "9999999999",
    ]
    func text() -> String? {
      Int.random(in: 0..<5, using: &generator) == 0
        ? nil
        : (0..<Int.random(in: 0...5, using: &generator)).map { _ in pieces.randomElement(using: &generator)! }.joined()
    }
    let facts = Facts(policy: seed % 2 == 0 ? nil : SpoofingTests.policyText)
    for _ in 0..<30 {
      facts.add(
        Source(
          log: Int64.random(in: -1...2, using: &generator), proxy: ProxyKind.allCases.randomElement(using: &generator)!,
          shape: HopShape.allCases.randomElement(using: &generator)!, clientIP: text(),
          clientIsForwarded: Bool.random(using: &generator), proxyIP: text(), pod: text(), peer: text()),
        Destination(
          host: text(),
          hostOrigin: [nil, .authority, .sni, .target, .cluster, .address].randomElement(using: &generator)!,
          port: UInt16.random(in: 0...65535, using: &generator), authority: text(), sni: text(), cluster: text(),
          routeName: text(),
          upstream: text().map { Endpoint(ip: $0, port: 80) }, upstreamName: text(),
          dialled: text().map { Endpoint(ip: $0, port: 80) },
          logsUpstream: Bool.random(using: &generator)),
        role: ([nil] + Role.allCases.map { $0 }).randomElement(using: &generator)!)
    }
    facts.logs = [LogSpan(log: 1, firstMs: .min, lastMs: .max), LogSpan(log: 2, firstMs: .max, lastMs: .min)]
    let judgement = facts.judgement()
    for line in facts.lines.indices { _ = facts.verdict(line, in: judgement) }
  }

  @Test("the order of the facts does not matter", arguments: 0..<20)
  func order(seed: UInt64) {
    let facts = randomFacts(seed, count: 60, policy: seed % 2 == 0 ? nil : SpoofingTests.policyText)
    let plain = facts.judgement()
    let shuffled = facts.judgement(shuffledBy: seed &+ 1)
    #expect(plain.assumptions == shuffled.assumptions)
    for line in facts.lines.indices {
      let (a, b) = (facts.verdict(line, in: plain), facts.verdict(line, in: shuffled))
      #expect(a.route == b.route)
      #expect(a.ending == b.ending)
    }
    #expect(plain.sourceClasses.map(\.class) == shuffled.sourceClasses.map(\.class))
    #expect(plain.destinationClasses.map(\.class) == shuffled.destinationClasses.map(\.class))
  }

  @Test("one more line never turns off a bypass", arguments: 0..<60)
  func monotonic(seed: UInt64) {
    let policy = seed % 2 == 0 ? nil : SpoofingTests.policyText
    let all = randomFacts(seed, count: 40, policy: policy)
    let fewer = randomFacts(seed, count: 25, policy: policy)
    let (after, before) = (all.judgement(), fewer.judgement())
    for line in fewer.lines.indices {
      let earlier = fewer.verdict(line, in: before).route
      let later = all.verdict(line, in: after).route
      if earlier.bypass != nil { #expect(later.bypass == earlier.bypass, "\(earlier) became \(later)") }
    }
  }

  @Test("without a policy, a sidecar's line to a public address is always a bypass", arguments: 0..<40)
  func publicIsBypass(seed: UInt64) {
    let facts = randomFacts(seed, count: 50, policy: nil)
    let judgement = facts.judgement()
    for (line, fact) in facts.lines.enumerated() {
      let destination = facts.destinations[Int(fact.destination) - 1].destination
      let verdict = facts.verdict(line, in: judgement).route
      guard verdict.role == .sidecar, let upstream = destination.upstream, upstream.ip.hasPrefix("203."),
        destination.cluster != "agent"
      else { continue }
      #expect(verdict.bypass != nil)
    }
  }
}
