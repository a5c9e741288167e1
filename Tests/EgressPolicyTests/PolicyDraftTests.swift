import Flows
import Testing

@testable import EgressPolicy

@Suite struct PolicyDraftTests {
  private func facts(podName: String) -> Facts {
    let facts = Facts()
    var source = sidecar("10.80.3.11")
    source.pod = podName
    facts.add(
      source,
      to(
        "10.80.3.232:8443",
        cluster: "outbound|443||istio-egressgateway.istio-system.svc.cluster.local\n- evil: [\u{202e}"))
    facts.add(source, to("10.80.2.87:3128", cluster: "outbound|3128||my-company-proxy.com"))
    facts.add(source, to("10.80.3.233:443", cluster: "outbound|443||sni-proxy.local"))
    return facts
  }

  private func draft(_ facts: Facts) -> String {
    Judge(policy: nil, sources: facts.sources, destinations: facts.destinations, outcomes: [], logs: []).draftPolicy()
  }

  @Test("a draft holds nothing until somebody removes the comment signs")
  func inert() throws {
    let policy = try policy(draft(facts(podName: "sleep-1")))
    #expect(policy.internal.isEmpty && policy.pods.isEmpty && policy.gateways.isEmpty && policy.exceptions.isEmpty)
  }

  @Test(
    "with the comment signs removed it is a valid policy, whatever names the logs hold",
    arguments: ["sleep-1", "a\"b\\\u{7}\n# - {", "é*&"])
  func valid(podName: String) throws {
    let text = draft(facts(podName: podName))
    let uncommented = text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
      line.contains("# - ") ? line.replacing("# - ", with: "- ", maxReplacements: 1) : line
    }.joined(separator: "\n")
    let policy = try policy(uncommented)
    #expect(policy.pods.map(\.name) == [podName])
    #expect(policy.gateways.count == 1)
    #expect(policy.sniProxies.count == 1)
    #expect(policy.forwardProxies.count == 1)
    #expect(policy.internal.count == 1)
    #expect(policy.exceptions.count == 1)
    #expect(text.unicodeScalars.allSatisfy { $0 == "\n" || (" "..."~").contains($0) })
  }

  @Test("every rule has a sentence of its own")
  func explanations() {
    let sentences = Rule.allCases.map(\.sentence)
    #expect(Set(sentences).count == sentences.count)
    #expect(
      Judge.explanation(ofRule: "passthrough-external")
        == "a sidecar sent to a public address that no ServiceEntry declares")
    #expect(Judge.explanation(ofRule: "no-such-rule") == nil)
  }
}
