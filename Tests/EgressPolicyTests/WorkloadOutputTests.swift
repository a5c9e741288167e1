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

  private func printed(_ destination: Destination) -> Destination {
    var destination = destination
    destination.isWorkloadsOutput = true
    return destination
  }

  @Test("what a workload printed of a place makes that no part of the mesh")
  func printedPlaces() {
    for (isPrinted, path) in [(false, Path.internal), (true, .unknown)] {
      let facts = Facts()
      let source = inbound("10.200.1.1", client: "10.80.3.12")
      let destination = Destination(
        host: "drop.example", port: 443, cluster: "inbound|443||", dialled: Endpoint(ip: "10.200.1.1", port: 443))
      facts.add(isPrinted ? printed(source) : source, isPrinted ? printed(destination) : destination)
      let outside = facts.add(sidecar(), to("10.200.1.1:443", cluster: "PassthroughCluster"))
      #expect(facts.route(outside).path == path)
    }
  }

  @Test("what a workload printed gives no address the name of the policy's gateway")
  func printedGateway() {
    let host = "istio-egressgateway.istio-system.svc.cluster.local"
    for (isPrinted, path) in [(false, Path.gateway), (true, .unknown)] {
      let facts = Facts(policy: "gateways: [{ name: egress, hosts: [\(host)] }]")
      let destination = to("10.200.1.1:443", cluster: "outbound|443||\(host)")
      let source = sidecar("10.80.3.12", log: 7)
      facts.add(isPrinted ? printed(source) : source, isPrinted ? printed(destination) : destination)
      let outside = facts.add(sidecar(), to("10.200.1.1:443", cluster: "PassthroughCluster"))
      #expect(facts.route(outside).path == path)
    }
  }

  @Test("a port of a gateway that a workload alone tells of is another's, where the gateway tells of its own")
  func printedPorts() {
    for (hasOwn, rule) in [(true, false), (false, true)] {
      let facts = Facts(policy: "gateways: [{ name: egress, addresses: [10.80.3.232] }]")
      var listener = to("203.0.113.5:443", cluster: "outbound|443||a.example")
      listener.dialled = Endpoint(ip: "10.80.3.232", port: 8443)
      if hasOwn { facts.add(gateway("10.80.3.232"), listener) }
      listener.dialled = Endpoint(ip: "10.80.3.232", port: 9999)
      facts.add(printed(gateway("10.80.3.232")), printed(listener))
      let line = facts.add(sidecar(), to("10.80.3.232:9999", cluster: "PassthroughCluster"))
      #expect((facts.route(line).path == .gateway && facts.route(line).assumption == nil) == rule)
    }
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
