import EgressPolicy
import Flows
import Testing

/// What `explain` says of a verdict.
@Suite struct GroundsTests {
  private func grounds(
    _ facts: Facts, _ line: Int, atMs: Int64 = 0, client: ClientStanding = .open
  ) throws -> Grounds {
    let judge = Judge(
      policy: facts.policy, sources: facts.sources, destinations: facts.destinations, outcomes: facts.outcomes,
      logs: facts.logs)
    let ids = facts.lines[line]
    return try #require(
      judge.grounds(source: ids.source, destination: ids.destination, outcome: ids.outcome, atMs: atMs, client: client))
  }

  private static let policy = """
    mesh:
      internal:
        - 10.80.0.0/16
        - "*.svc.cluster.local"
    gateways:
      - { name: egress, addresses: [10.80.3.232] }
    exceptions:
      - { name: by-address, addresses: [203.0.113.0/24], port: 443, source: 10.80.3.0/24, owner: a, reason: r, expires: 2030-01-01 }
      - { name: by-host, host: "*.example.com", owner: b, reason: r, expires: 2030-01-01 }
      - { name: ended, addresses: [203.0.113.7], owner: c, reason: r, expires: 1969-01-01 }
    """

  @Test("the grounds give the verdict of the judgement, whatever the line")
  func agreesWithJudgement() throws {
    let facts = Facts(policy: Self.policy)
    for target in ["203.0.113.7:443", "203.0.113.7:80", "198.51.100.1:443", "10.80.3.232:8443", "10.80.9.9:80"] {
      for cluster in ["PassthroughCluster", "outbound|443||www.example.com", "outbound|443||other.test", nil] {
        facts.add(sidecar(), to(target, cluster: cluster, host: "www.example.com"))
        facts.add(sidecar("10.99.0.1"), to(target, cluster: cluster))
        facts.add(gateway(), to(target, cluster: cluster))
        facts.add(squid(client: "10.80.3.11"), to(target, cluster: cluster))
      }
    }
    let judgement = facts.judgement()
    for line in facts.lines.indices {
      let grounds = try grounds(facts, line)
      let (route, ending) = facts.verdict(line, in: judgement)
      #expect(grounds.verdict == route)
      #expect(grounds.ending == ending)
      if route.bypass != nil {
        // What the list of misses says is what the judgement went by.
        #expect(grounds.exceptions.contains(where: \.applies) == (route.exception != nil), "line \(line): \(grounds)")
      }
    }
  }

  @Test("of a client that came around a hop, the exceptions are those that the judgement went by")
  func claims() throws {
    let facts = Facts(
      policy: """
        mesh: { internal: [10.80.0.0/16] }
        pods: [ { name: legacy, addresses: [10.80.3.40], sidecar: false } ]
        gateways: [ { name: egress, addresses: [10.80.3.232] } ]
        exceptions:
          - { name: by-address, addresses: [203.0.113.0/24], port: 443, source: 10.80.3.0/24, owner: a, reason: r, expires: 2030-01-01 }
          - { name: by-host, host: "*.example.com", port: 80, owner: b, reason: r, expires: 2030-01-01 }
        """)
    for target in ["203.0.113.7:443", "203.0.113.7:80", "198.51.100.1:443", "198.51.100.1:80"] {
      for client in ["10.80.3.40", "10.80.9.1"] {
        for cluster in ["PassthroughCluster", "outbound|443||www.example.com", "outbound|443||other.test", nil] {
          facts.add(gateway(client: client), to(target, cluster: cluster, host: "www.example.com"))
        }
        for host in ["www.example.com", "other.test", nil] {
          facts.add(squid(client: client), to(target, host: host, origin: .target))
          facts.add(nginx(client: client), to(target, host: host, origin: .sni))
        }
      }
    }
    let judgement = facts.judgement()
    var allowed = 0
    for line in facts.lines.indices {
      let route = facts.verdict(line, in: judgement).route
      #expect(route.claim != nil)
      let reason: BypassReason = route.claim?.reason ?? .clientSkippedItsSidecar
      let grounds = try grounds(facts, line, client: .bypassed(reason))
      #expect(
        grounds.exceptions.contains(where: \.applies) == (route.exception != nil), "line \(line): \(grounds)")
      #expect(
        grounds.entries.contains { $0.section == "pods" && $0.name == "legacy, sidecar: false" && $0.line == 2 }
          == (reason == .clientHasNoSidecar))
      #expect(grounds.changes.contains { $0.contains("an exception of the policy") })
      if route.exception != nil { allowed += 1 }
    }
    #expect(allowed > 5)
  }

  @Test("the entry behind a rule is named with its line in the file")
  func entries() throws {
    let facts = Facts(policy: Self.policy)
    let toGateway = facts.add(sidecar(), to("10.80.3.232:8443", cluster: "outbound|443||www.example.com"))
    let toMesh = facts.add(sidecar(), to("10.80.9.9:80", cluster: "outbound|80||a.b.svc.cluster.local"))
    let passthrough = facts.add(sidecar(), to("198.51.100.1:443", cluster: "PassthroughCluster"))
    #expect(
      try grounds(facts, toGateway).entries.map { "\($0.section) \($0.name) \($0.line)" } == ["gateways egress 6"])
    #expect(
      try grounds(facts, toMesh).entries.map { "\($0.section) \($0.name) \($0.line)" } == [
        "mesh.internal 10.80.0.0/16 3"
      ])
    #expect(try grounds(facts, passthrough).entries == [])
  }

  @Test("each exception says why it does not apply: time, address, host, port, source")
  func misses() throws {
    let facts = Facts(policy: Self.policy)
    let line = facts.add(
      sidecar("10.99.0.1"), to("198.51.100.1:80", cluster: "PassthroughCluster", host: "www.other.test"))
    let exceptions = try grounds(facts, line).exceptions
    func misses(_ label: String) -> String {
      exceptions.first { $0.label == label }?.misses.joined(separator: "; ") ?? "not considered"
    }
    #expect(
      misses("by-address")
        == "its addresses do not hold 198.51.100.1; it is for port 443, not 80; its sources do not hold 10.99.0.1")
    #expect(misses("by-host").contains("undeclared traffic is allowed by addresses only"))
    #expect(misses("ended").hasPrefix("it had ended by then"))
  }

  @Test("every verdict that is no plain pass says what would change it")
  func changes() throws {
    let facts = Facts()
    let lines = [
      facts.add(sidecar(), to("203.0.113.7:443", cluster: "PassthroughCluster")),
      facts.add(sidecar(), to("203.0.113.7:443", cluster: "outbound|443||www.example.com")),
      facts.add(sidecar(), to("10.1.2.3:443", cluster: "outbound|443||www.example.com")),
      facts.add(sidecar(), to("169.254.169.254:80", cluster: "PassthroughCluster")),
      facts.add(squid(client: "10.80.3.99"), to("203.0.113.7:443", host: "www.example.com", origin: .target)),
      facts.add(unsent(client: "10.80.3.11"), to(nil, cluster: "BlackHoleCluster")),
    ]
    for line in lines { #expect(try !grounds(facts, line).changes.isEmpty) }
  }
}
