import Flows
import Testing

@testable import EgressPolicy

/// What a policy file changes, and when.
@Suite struct DeclaredPolicyTests {
  static let text = """
    mesh: { internal: [10.80.0.0/16, "*.svc.cluster.local"] }
    pods: [ { name: sleep, addresses: [10.80.3.11], sidecar: true } ]
    gateways:
      - { name: egress, hosts: [egress.istio-system.svc.cluster.local], addresses: [10.80.3.232] }
      - { name: second, hosts: [second.istio-system.svc.cluster.local] }
    sni_proxies: [ { name: sni, addresses: [127.0.0.1, 10.80.3.233] } ]
    forward_proxies: [ { name: squid, hosts: [my-company-proxy.com], addresses: [10.80.2.87] } ]
    """

  @Test(
    "an upstream in the policy's lists decides, before anything the lines suggest",
    arguments: [
      ("10.80.3.232:8443", Path.gateway, "gateway-address"), ("10.80.3.233:443", .sniProxy, "sni-proxy-address"),
      ("10.80.2.87:3128", .proxy, "forward-proxy-address"), ("10.80.7.7:80", .internal, "mesh-declared"),
    ])
  func byAddress(upstream: String, path: Path, rule: String) {
    let facts = Facts(policy: DeclaredPolicyTests.text)
    for cluster in ["PassthroughCluster", "outbound|443||anything.example"] {
      let verdict = facts.route(facts.add(sidecar(), to(upstream, cluster: cluster)))
      #expect(verdict.path == path)
      #expect(verdict.rule == rule)
      // Past the declared gateway: the SNI proxy's own line is the bypass, where it was read.
      #expect((verdict.assumption == nil) == (path != .sniProxy))
      #expect(verdict.bypass == nil)
    }
  }

  @Test("a registry host named in the policy counts, unless the address contradicts it")
  func byHost() {
    let facts = Facts(policy: DeclaredPolicyTests.text)
    let first = "outbound|443||egress.istio-system.svc.cluster.local"
    let second = "outbound|443||second.istio-system.svc.cluster.local"
    let outside = facts.add(sidecar(), to("203.0.113.1:8443", cluster: first))
    let newPod = facts.add(sidecar(), to("192.168.0.1:8443", cluster: first))
    let noAddresses = facts.add(sidecar(), to("203.0.113.1:8443", cluster: second))
    let squidOutside = facts.add(sidecar(), to("203.0.113.1:3128", cluster: "outbound|3128||my-company-proxy.com"))
    #expect(facts.route(outside).bypass == .directServiceEntry)
    #expect(facts.route(newPod).path == .gateway)
    #expect(facts.route(newPod).assumption != nil)
    #expect(facts.route(noAddresses).rule == "gateway-host")
    #expect(facts.route(noAddresses).assumption?.hasPrefix("a public address is taken for the egress gateway") == true)
    let inside = facts.add(sidecar(), to("192.168.0.1:8443", cluster: second))
    #expect(facts.route(inside).assumption == nil)
    #expect(facts.route(squidOutside).bypass == .directServiceEntry)
  }

  @Test("where the policy lists gateways, no other address is guessed to be one")
  func guessesEnd() {
    let facts = Facts(policy: DeclaredPolicyTests.text)
    let line = facts.add(sidecar(), to("192.168.0.9:8443", cluster: "outbound|443||other-egressgateway.svc"))
    facts.add(gateway("192.168.0.9"), to("203.0.113.1:443", cluster: "outbound|443||h.example"))
    #expect(facts.route(line).path == .unknown)
    #expect(facts.judgement().assumptions.allSatisfy { !$0.contains("taken for an egress gateway") })
  }

  @Test("a gateway line of a declared address is certain, of another an assumption")
  func gatewayLines() {
    let facts = Facts(policy: DeclaredPolicyTests.text)
    let destination = to("203.0.113.1:443", cluster: "outbound|443||h.example")
    let declared = facts.add(gateway("10.80.3.232"), destination)
    let other = facts.add(gateway("10.80.9.9"), destination)
    let byRole = facts.add(gateway("10.80.9.9"), destination, role: .gateway)
    #expect(facts.route(declared).assumption == nil)
    #expect(facts.route(other).path == .gateway)
    #expect(facts.route(other).assumption != nil)
    #expect(facts.route(byRole).assumption == nil)
  }

  @Test("the address behind a gateway's registry host is learnt where the policy gives none")
  func taughtAddress() {
    let facts = Facts(policy: DeclaredPolicyTests.text)
    facts.add(sidecar(), to("192.168.3.1:8443", cluster: "outbound|443||second.istio-system.svc.cluster.local"))
    let line = facts.add(gateway("192.168.3.1"), to("203.0.113.1:443", cluster: "outbound|443||h.example"))
    let passthrough = facts.add(sidecar(), to("192.168.3.1:8443", cluster: "PassthroughCluster"))
    #expect(facts.route(line).assumption == nil)
    #expect(facts.route(passthrough).rule == "gateway-address")
  }

  @Test("a pod in the policy is the mesh, gives its clients no proof, and lends its name")
  func pods() {
    let facts = Facts(policy: DeclaredPolicyTests.text)
    let line = facts.add(
      gateway("10.80.3.232", client: "10.80.3.11"), to("203.0.113.1:443", cluster: "outbound|443||h.example"))
    #expect(facts.route(line).warnings == ["source-unproven"])
    #expect(facts.judgement().sourceClasses.map(\.name) == ["sleep"])
    let forwarded = facts.add(
      sidecar("10.80.3.11", forwarded: "1.2.3.4"), to("203.0.113.1:443", cluster: "PassthroughCluster"))
    #expect(facts.judgement().sourceClasses[forwarded].name == "sleep")
  }

  @Test("entries hold from their beginning to their end, to the millisecond")
  func intervals() {
    let facts = Facts(
      policy: """
        gateways: [ { name: g, addresses: [192.168.0.1], from: 2026-01-01T00:00:00Z, until: 2026-01-02 } ]
        mesh: { internal: [ { address: 192.168.0.0/16, from: 2026-01-02T12:00:00+02:00 } ] }
        """)
    let line = facts.add(sidecar(), to("192.168.0.1:443", cluster: "PassthroughCluster"))
    let start: Int64 = 1_767_225_600_000
    let day: Int64 = 86_400_000
    #expect(facts.judgement().intervals.map(\.fromMs) == [.min, start, start + day + 36_000_000, start + 2 * day])
    #expect(facts.judgement().intervals.map(\.untilMs) == [start, start + day + 36_000_000, start + 2 * day, .max])
    #expect(facts.judgement().intervals.map(\.id) == [0, 1, 2, 3])
    #expect(facts.route(line, atMs: start - 1).path == .unknown)
    #expect(facts.route(line, atMs: start).path == .gateway)
    // until is a date: it holds to the end of that day
    #expect(facts.route(line, atMs: start + 2 * day - 1).path == .gateway)
    #expect(facts.route(line, atMs: start + 2 * day).rule == "mesh-declared")
  }

  @Test("every interval, source class and destination class has exactly one verdict")
  func fullProduct() {
    let facts = Facts(policy: DeclaredPolicyTests.text + "\nexceptions: [ { host: a.example, expires: 2026-01-01 } ]")
    facts.add(sidecar(), to("203.0.113.1:443", cluster: "outbound|443||a.example"))
    facts.add(gateway(), to("10.80.2.2:443", cluster: "outbound|443||b.example"))
    facts.add(squid(client: "10.80.3.11"), to("203.0.113.1:443", host: "a.example", origin: .target))
    let judgement = facts.judgement()
    let sources = Set(judgement.sourceClasses.map(\.class))
    let destinations = Set(judgement.destinationClasses.map(\.class))
    #expect(sources == Set(0..<sources.count))
    #expect(destinations == Set(0..<destinations.count))
    let keys = judgement.routes.map { [$0.interval, $0.sourceClass, $0.destinationClass] }
    #expect(Set(keys).count == keys.count)
    #expect(keys.count == judgement.intervals.count * sources.count * destinations.count)
    #expect(judgement.endings.count == facts.outcomes.count * OutcomeContext.allCases.count)
  }

  @Test("many pods and many hosts make few classes")
  func economy() {
    let facts = Facts(policy: DeclaredPolicyTests.text)
    for pod in 1...200 {
      facts.add(
        sidecar("10.80.4.\(pod)"),
        to("203.0.113.\(pod):443", cluster: "outbound|443||h\(pod).example", host: "h\(pod).example"))
    }
    let judgement = facts.judgement()
    #expect(judgement.sourceClasses.allSatisfy { $0.class == 0 })
    #expect(judgement.destinationClasses.allSatisfy { $0.class == 0 })
  }
}
