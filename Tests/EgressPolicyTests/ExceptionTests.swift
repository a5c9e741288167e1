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

  @Test(
    "a name alone allows for certain what proxies look up themselves; where the client may have chosen the address, it is assumed"
  )
  func addressOfTheClient() {
    let cluster = "outbound|443||api.example.com"
    let direct = to("203.0.113.5:443", cluster: cluster)
    let elsewhere = to("203.0.113.6:443", cluster: cluster, dialled: "198.51.100.1:443")
    let other = to("203.0.113.6:443", cluster: "outbound|443||b.example.com", dialled: "198.51.100.1:443")
    func topology(_ resolution: String) -> ClusterRecord {
      var entry = ClusterObject(kind: .serviceEntry, namespace: "n", name: "e")
      entry.hosts = ["api.example.com"]
      entry.traits = ["location=MESH_EXTERNAL", "resolution=\(resolution)"]
      var record = ClusterRecord()
      record.add([entry], from: 0, until: 0)
      return record
    }
    func isAssumed(
      _ exception: String, _ destination: Destination, beside other: Destination? = nil,
      _ topology: ClusterRecord? = nil
    ) -> Bool {
      let facts = Facts(policy: "exceptions: [ \(exception) ]")
      facts.topology = topology
      let line = facts.add(sidecar(), destination)
      if let other { facts.add(sidecar("10.80.3.12"), other) }
      let verdict = facts.route(line)
      #expect(verdict.exception == 0 && verdict.bypass != nil)
      return verdict.assumption != nil
    }
    let byName = "{ host: '*.example.com' }"
    #expect(isAssumed(byName, direct))
    #expect(!isAssumed(byName, elsewhere))
    // One line shows that proxies look the host up; of another host it says nothing.
    #expect(!isAssumed(byName, direct, beside: elsewhere))
    #expect(isAssumed(byName, direct, beside: other))
    #expect(!isAssumed("{ host: api.example.com, addresses: [203.0.113.0/24] }", direct))
    #expect(!isAssumed("{ source: 10.80.3.0/24, port: 443 }", direct))
    #expect(!isAssumed(byName, direct, topology("DNS")))
    #expect(isAssumed(byName, direct, beside: elsewhere, topology("NONE")))
    var passing = topology("DNS")
    var rule = ClusterObject(kind: .destinationRule, namespace: "n", name: "r")
    rule.hosts = ["*.example.com"]
    rule.traits = ["load-balancer=PASSTHROUGH"]
    passing.add([rule], from: 0, until: 0)
    #expect(isAssumed(byName, direct, beside: elsewhere, passing))
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
