import Flows
import Testing

@testable import EgressPolicy

/// All containers of a pod write where the kubelet keeps logs; only one of them is the sidecar.
@Suite struct WorkloadOutputTests {
  private func printed(_ source: Source) -> Source {
    var source = source
    (source.namespace, source.pod, source.container) = ("shop", "evil-1", "app")
    return source
  }

  @Test("a sidecar's line that a workload printed makes no address a part of the mesh and proves no client")
  func printedLines() {
    for (isPrinted, path) in [(false, Path.internal), (true, .unknown)] {
      let facts = Facts()
      let source = sidecar("10.80.9.9", log: 7)
      facts.add(isPrinted ? printed(source) : source, to("203.0.113.1:443", cluster: "outbound|443||h.example"))
      let inside = facts.add(sidecar(), to("10.80.9.9:443", cluster: "PassthroughCluster"))
      #expect(facts.route(inside).path == path)
    }
  }

  @Test("the sidecar's own container is believed, and so is whoever runs Gatewatch")
  func believedLines() {
    var own = printed(sidecar("10.80.9.9", log: 7))
    #expect(own.isWorkloadsOutput)
    own.container = "istio-proxy"
    #expect(!own.isWorkloadsOutput)
    #expect(!sidecar().isWorkloadsOutput)
  }

  @Test("no public address is taken for a gateway, whatever lines say")
  func publicGateway() {
    let facts = Facts()
    facts.add(gateway("203.0.113.77"), to("203.0.113.9:443", cluster: "outbound|443||h.example"))
    let line = facts.add(sidecar(), to("203.0.113.77:443", cluster: "PassthroughCluster"))
    #expect(facts.route(line).bypass == .passthrough)
    #expect(facts.route(line).assumption == nil)
  }
}
