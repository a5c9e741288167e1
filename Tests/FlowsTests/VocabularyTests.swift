import Flows
import Testing

/// The words that stores, reports and other people's queries hold: a change here breaks all of them.
@Suite struct VocabularyTests {
  @Test("the proxies keep their names")
  func proxies() {
    #expect(ProxyKind.allCases.map(\.rawValue) == ["envoy", "nginx-stream", "nginx-http", "squid"])
  }

  @Test("the roles keep their names")
  func roles() {
    #expect(
      Role.allCases.map(\.rawValue)
        == ["sidecar", "inbound", "gateway", "sni-proxy", "forward-proxy", "waypoint", "unknown"])
  }

  @Test("the paths keep their names")
  func paths() {
    #expect(
      Path.allCases.map(\.rawValue)
        == ["gateway", "sni-proxy", "proxy", "direct", "passthrough", "internal", "none", "unknown"])
  }

  @Test("the outcomes keep their names")
  func outcomes() {
    #expect(
      OutcomeKind.allCases.map(\.rawValue)
        == ["ok", "blocked", "failed", "timeout", "client-gone", "mesh-fault", "challenge", "noise"])
  }

  @Test("the kinds of bypass keep their names")
  func bypasses() {
    #expect(
      Bypass.allCases.map(\.rawValue)
        == ["passthrough", "direct-service-entry", "no-sidecar", "sni-proxy-direct", "squid-direct"])
  }

  @Test("the severities keep their names and their order")
  func severities() {
    #expect(Severity.allCases.map(\.rawValue) == ["info", "warning", "critical"])
  }

  @Test("the shapes of hops keep their names")
  func shapes() {
    #expect(
      HopShape.allCases.map(\.rawValue)
        == [
          "outbound", "outbound-forwarded", "inbound", "gateway", "gateway-to-loopback", "not-sent", "waypoint",
          "internal-listener", "unaddressed", "server", "side-log", "other",
        ])
  }

  @Test("words are small letters and hyphens, so that they need no quotes anywhere")
  func wordsArePlain() {
    var words = ProxyKind.allCases.map(\.rawValue) + Role.allCases.map(\.rawValue) + Path.allCases.map(\.rawValue)
    words += OutcomeKind.allCases.map(\.rawValue) + Bypass.allCases.map(\.rawValue) + Severity.allCases.map(\.rawValue)
    words += HopShape.allCases.map(\.rawValue) + Warnings.names.map(\.name)
    let letters = Set("abcdefghijklmnopqrstuvwxyz-")
    for word in words { #expect(word.allSatisfy(letters.contains) && word.first != "-" && word.last != "-", "\(word)") }
  }
}

@Suite struct WarningsTests {
  @Test("each warning keeps its bit and its word, in the order of the list in the column")
  func namesAndBits() {
    #expect(
      Warnings.names.map { "\($0.warning.rawValue.trailingZeroBitCount) \($0.name)" }
        == [
          "0 ambiguous-columns", "1 truncated", "2 sni-invalid", "3 host-mismatch", "4 xff-source", "5 host-is-address",
          "6 time-assumed", "7 number-invalid", "8 zone-assumed", "9 denied-late", "10 day-assumed",
        ])
  }

  @Test("each warning has one bit, no two share one, and none is left out between them")
  func bitsAreDense() {
    let all = Warnings.names.reduce(into: Warnings()) { all, entry in
      #expect(entry.warning.rawValue.nonzeroBitCount == 1, "\(entry.name)")
      #expect(all.isDisjoint(with: entry.warning), "\(entry.name)")
      all.formUnion(entry.warning)
    }
    #expect(all.rawValue == 1 << UInt32(Warnings.names.count) - 1)
    #expect(Set(Warnings.names.map(\.name)).count == Warnings.names.count)
  }
}
