import Flows
import Testing

@testable import EgressPolicy

@Suite struct ExceptionTests {
  private func exception(_ text: String, _ source: Source, _ destination: Destination, atMs ms: Int64 = 0) -> Int? {
    let facts = Facts(policy: "exceptions: [ \(text) ]")
    let verdict = facts.route(facts.add(source, destination), atMs: ms)
    #expect(verdict.bypass != nil)
    return verdict.exception
  }

  @Test("an exception allows a bypass and leaves it visible")
  func allowed() {
    let destination = to("203.0.113.5:443", cluster: "outbound|443||api.example.com")
    #expect(exception("{ host: '*.example.com' }", sidecar(), destination) == 0)
    #expect(exception("{ host: other.com }, { host: api.example.com, port: 443 }", sidecar(), destination) == 1)
    #expect(exception("{ host: api.example.com, port: 80 }", sidecar(), destination) == nil)
    #expect(exception("{ host: api.example.com, addresses: [203.0.113.0/24] }", sidecar(), destination) == 0)
    #expect(exception("{ host: api.example.com, addresses: [198.51.100.0/24] }", sidecar(), destination) == nil)
    #expect(exception("{ host: api.example.com, source: 10.80.3.0/24 }", sidecar("10.80.3.11"), destination) == 0)
    #expect(exception("{ host: api.example.com, source: 10.80.3.0/24 }", sidecar("10.80.4.11"), destination) == nil)
  }

  private static let byName = "{ host: '*.example.com' }"
  private static let cluster = "outbound|443||api.example.com"
  private static let direct = to("203.0.113.5:443", cluster: cluster)
  /// A line of which proxies look the host up.
  private static let elsewhere = to("203.0.113.6:443", cluster: cluster, dialled: "198.51.100.1:443")

  private static func sender(_ pod: String, in namespace: String? = nil) -> Source {
    var source = sidecar(pod)
    source.namespace = namespace
    return source
  }

  /// Whether an exception allows the destination on an assumption alone.
  private func isAssumed(
    _ exception: String = byName, _ destination: Destination = direct, of source: Source = sender("10.80.3.11"),
    beside others: [(Source, Destination)] = [], role: Role? = nil, topology: ClusterRecord? = nil
  ) -> Bool {
    let facts = Facts(policy: "exceptions: [ \(exception) ]")
    facts.topology = topology
    facts.logs = [LogSpan(log: 1, firstMs: 0, lastMs: 10_000_000)]
    let line = facts.add(source, destination)
    for (source, destination) in others { facts.add(source, destination, role: role) }
    let verdict = facts.route(line)
    #expect(verdict.exception == 0 && verdict.bypass != nil)
    return verdict.assumption != nil
  }

  /// ServiceEntries for the host, by a look at one namespace or at all.
  private func entries(_ resolutions: [String: String], lookAt namespace: String? = nil) -> ClusterRecord {
    var record = ClusterRecord()
    for (namespace, resolution) in resolutions {
      var entry = ClusterObject(kind: .serviceEntry, namespace: namespace, name: "e")
      entry.hosts = ["api.example.com"]
      entry.traits = ["location=MESH_EXTERNAL", "resolution=\(resolution)"]
      record.add([entry], from: 0, until: 0)
    }
    record.moments[ClusterScope(kind: .serviceEntry, namespace: namespace)] = [0]
    return record
  }

  @Test(
    "a name alone allows for certain what proxies look up themselves; where the client may have chosen the address, it is assumed"
  )
  func addressOfTheClient() {
    let pod = Self.sender("10.80.3.11")
    let other = to("203.0.113.6:443", cluster: "outbound|443||b.example.com", dialled: "198.51.100.1:443")
    #expect(isAssumed())
    #expect(!isAssumed(Self.byName, Self.elsewhere))
    // One line shows that its proxy looks the host up; of another host it says nothing.
    #expect(!isAssumed(beside: [(pod, Self.elsewhere)]))
    #expect(isAssumed(beside: [(pod, other)]))
    #expect(!isAssumed("{ host: api.example.com, addresses: [203.0.113.0/24] }"))
    #expect(!isAssumed("{ source: 10.80.3.0/24, port: 443 }"))
    #expect(!isAssumed(topology: entries(["n": "DNS"])))
    #expect(isAssumed(beside: [(pod, Self.elsewhere)], topology: entries(["n": "NONE"])))
    var passing = entries(["n": "DNS"])
    var rule = ClusterObject(kind: .destinationRule, namespace: "n", name: "r")
    rule.hosts = ["*.example.com"]
    rule.traits = ["load-balancer=PASSTHROUGH"]
    passing.add([rule], from: 0, until: 0)
    #expect(isAssumed(beside: [(pod, Self.elsewhere)], topology: passing))
  }

  @Test("a line shows that a host is looked up in its own namespace alone: another may have a ServiceEntry of its own")
  func lookedUpElsewhere() {
    func isAssumed(_ namespace: String?, beside other: String?, _ topology: ClusterRecord? = nil) -> Bool {
      self.isAssumed(
        of: Self.sender("10.80.3.11", in: namespace), beside: [(Self.sender("10.80.3.12", in: other), Self.elsewhere)],
        topology: topology)
    }
    #expect(!isAssumed("shop", beside: "shop"))
    #expect(isAssumed("shop", beside: "team-b"))
    #expect(isAssumed(nil, beside: "shop"))
    #expect(isAssumed(nil, beside: nil))
    // The topology says whose the pods are.
    var pods = ClusterRecord()
    pods.add([.pod("a", in: "shop", "10.80.3.11"), .pod("b", in: "shop", "10.80.3.12")], from: 0, until: 10_000)
    #expect(!isAssumed(nil, beside: nil, pods))
    // What a workload wrote itself may stand between the lines.
    var forged = Self.sender("10.80.3.11", in: "shop")
    forged.container = "app"
    #expect(self.isAssumed(of: Self.sender("10.80.3.11", in: "shop"), beside: [(forged, Self.elsewhere)]))
  }

  @Test(
    "a ServiceEntry that was seen speaks for its own namespace, and for all where a look at all namespaces found no other"
  )
  func seenInPart() {
    func isAssumed(_ resolutions: [String: String], lookAt namespace: String?, of sender: String? = "shop") -> Bool {
      self.isAssumed(of: Self.sender("10.80.3.11", in: sender), topology: entries(resolutions, lookAt: namespace))
    }
    #expect(!isAssumed(["istio-system": "DNS"], lookAt: nil))
    #expect(!isAssumed(["istio-system": "DNS"], lookAt: nil, of: nil))
    #expect(isAssumed(["istio-system": "DNS", "team-b": "NONE"], lookAt: nil))
    #expect(isAssumed(["istio-system": "DNS"], lookAt: "istio-system"))
    // What came after the look at all namespaces may have come to others, too.
    var later = entries(["istio-system": "DNS"], lookAt: "istio-system")
    later.moments[ClusterScope(kind: .serviceEntry, namespace: nil)] = [-1_000]
    #expect(self.isAssumed(topology: later))
    #expect(!isAssumed(["shop": "DNS"], lookAt: "shop"))
    #expect(isAssumed(["shop": "DNS"], lookAt: "shop", of: nil))
  }

  @Test("a gateway's line does not show that sidecars look the host up: its own listener stands there as dialled")
  func lookedUpByGateway() {
    let handedOn = to("198.51.100.130:443", cluster: Self.cluster, dialled: "10.80.3.232:8443")
    let client = Self.sender("10.80.3.11", in: "shop")
    var log = gateway()
    log.namespace = "istio-system"
    #expect(isAssumed(of: client, beside: [(log, handedOn)]))
    #expect(isAssumed(of: client, beside: [(log, handedOn)], role: .gateway))
    // Nor does it take anything from what a sidecar's line shows.
    #expect(!isAssumed(of: client, beside: [(log, handedOn), (client, Self.elsewhere)]))
    // A format without the proxy's own address does not tell the two apart.
    var bare = Source(log: 2, proxy: .envoy, shape: .unaddressed, clientIP: "10.80.3.11")
    bare.namespace = "istio-system"
    #expect(isAssumed(of: client, beside: [(bare, handedOn)], role: .gateway))
    #expect(isAssumed(of: client, beside: [(bare, handedOn)]))
  }

  @Test("an exception that names the address goes before one that names the host alone")
  func certainFirst() {
    let destination = to("203.0.113.5:443", cluster: "outbound|443||api.example.com")
    let facts = Facts(policy: "exceptions: [ { host: api.example.com }, { addresses: [203.0.113.5] } ]")
    let verdict = facts.route(facts.add(sidecar(), destination))
    #expect(verdict.exception == 1 && verdict.assumption == nil)
  }

  @Test("a wildcard ServiceEntry needs a wildcard exception, whatever name the client sends")
  func wildcardCluster() {
    let destination = to("203.0.113.5:443", cluster: "outbound|443||*.example.com", host: "a.example.com", origin: .sni)
    #expect(exception("{ host: a.example.com }", sidecar(), destination) == nil)
    #expect(exception("{ host: '*.example.com' }", sidecar(), destination) == 0)
    #expect(exception("{ host: '*.com' }", sidecar(), destination) == 0)
    #expect(exception("{ host: '*.b.example.com' }", sidecar(), destination) == nil)
  }

  @Test("passthrough is allowed by address only; a name the client sends can narrow that, not widen it")
  func passthrough() {
    func destination(_ host: String?) -> Destination {
      to("203.0.113.5:443", cluster: "PassthroughCluster", host: host)
    }
    #expect(exception("{ host: api.example.com }", sidecar(), destination("api.example.com")) == nil)
    #expect(exception("{ source: 10.80.0.0/16, port: 443 }", sidecar(), destination(nil)) == nil)
    let both = "{ host: '*.example.com', addresses: [203.0.113.0/24] }"
    #expect(exception(both, sidecar(), destination("api.example.com")) == 0)
    #expect(exception(both, sidecar(), destination(nil)) == 0)
    #expect(exception(both, sidecar(), destination("evil.net")) == nil)
    #expect(exception("{ addresses: [203.0.113.0/24] }", sidecar(), destination("evil.net")) == 0)
  }

  @Test("source never matches an address from X-Forwarded-For; the pod's own address still does")
  func forwardedSource() {
    let destination = to("203.0.113.5:443", cluster: "outbound|443||api.example.com")
    let forged = sidecar("10.80.9.9", forwarded: "10.80.3.11")
    #expect(exception("{ host: api.example.com, source: 10.80.3.0/24 }", forged, destination) == nil)
    #expect(exception("{ host: api.example.com, source: 10.80.9.0/24 }", forged, destination) == 0)
    var bare = forged
    bare.proxyIP = nil
    #expect(exception("{ host: api.example.com, source: 10.80.3.0/24 }", bare, destination) == nil)
  }

  @Test("the port is the one connected to, not the one in the Host header")
  func port() {
    var destination = to("203.0.113.5:8443", cluster: "outbound|8443||api.example.com", host: "api.example.com")
    destination.port = 443
    #expect(exception("{ host: api.example.com, port: 443 }", sidecar(), destination) == nil)
    #expect(exception("{ host: api.example.com, port: 8443 }", sidecar(), destination) == 0)
  }

  @Test("the port that reports show counts, too, where it was dialled or is the registry's")
  func shownPort() {
    func allows(_ port: Int, _ destination: Destination) -> Bool {
      exception("{ host: edition.cnn.com, port: \(port) }", sidecar(), destination) == 0
        && exception("{ addresses: [203.0.113.9], port: \(port) }", sidecar(), destination) == 0
    }
    // A sidecar that begins TLS itself is asked at port 80.
    var origination = to(
      "203.0.113.9:443", cluster: "outbound|443|tls-origination|edition.cnn.com", dialled: "203.0.113.9:80")
    origination.port = 80
    #expect(allows(80, origination) && allows(443, origination) && !allows(8080, origination))
    // Asked as a proxy, the port is the client's word: it counts where the registry has it.
    var proxied = to("203.0.113.9:8443", cluster: "outbound|443||edition.cnn.com", dialled: "127.0.0.1:3128")
    proxied.port = 443
    #expect(allows(443, proxied) && allows(8443, proxied))
    proxied.port = 3128
    #expect(!allows(3128, proxied) && !allows(443, proxied))
  }

  @Test("an exception ends with the day it names")
  func expiry() {
    let destination = to("203.0.113.5:443", cluster: "outbound|443||api.example.com")
    let text = "{ host: api.example.com, from: 2026-01-01, expires: 2026-01-31 }"
    let start: Int64 = 1_767_225_600_000
    let end = start + 31 * 86_400_000
    #expect(exception(text, sidecar(), destination, atMs: start - 1) == nil)
    #expect(exception(text, sidecar(), destination, atMs: start) == 0)
    #expect(exception(text, sidecar(), destination, atMs: end - 1) == 0)
    #expect(exception(text, sidecar(), destination, atMs: end) == nil)
  }

  @Test("at Squid, which resolves names itself, the host counts")
  func squidHost() {
    let facts = Facts(policy: "exceptions: [ { host: '*.example.com' } ]")
    let allowed = facts.add(
      squid(client: "10.80.3.11"), to("203.0.113.5:443", host: "api.example.com", origin: .target))
    let other = facts.add(squid(client: "10.80.3.11"), to("203.0.113.5:443", host: "evil.net", origin: .target))
    #expect(facts.route(allowed).exception == 0)
    #expect(facts.route(other).exception == nil)
  }

  @Test("reports get the exceptions by their index, with label, owner, reason and expiry")
  func listed() {
    let facts = Facts(
      policy: """
        exceptions:
          - { host: "*.example.com", addresses: [203.0.113.0/24], port: 443, source: 10.80.3.0/24, owner: payments, reason: vendor, expires: 2027-01-31 }
          - { name: legacy, host: old.example }
        """)
    let listed = facts.judgement().exceptions
    #expect(listed.map(\.label) == ["*.example.com 203.0.113.0/24 port 443 from 10.80.3.0/24", "legacy"])
    #expect(listed.map(\.owner) == ["payments", ""])
    #expect(listed.map(\.expiresMs) == [1_801_440_000_000, nil])
  }
}
