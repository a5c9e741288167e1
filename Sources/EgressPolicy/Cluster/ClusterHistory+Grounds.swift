internal import Flows

extension ClusterHistory {
  /// What the snapshots say of an address at a moment, for a person; nil where they say nothing.
  func statement(of address: IPAddress, atMs ms: Int64) -> String? {
    let there = holders(of: address, from: ms, until: ms)
    if !there.isEmpty {
      return there.map { statement(ofPod: $0.object) }.joined(separator: ", or ")
    }
    if let service = services[address] {
      return "Service \(service)" + (gatewayServices[address] == nil ? "" : ", of an egress gateway")
    }
    if let node = nodes[address] {
      let hasGateway = (gatewayNodes[address] ?? []).contains { $0.fromMs <= ms && ms < $0.untilMs }
      return "node \(node), and whatever runs behind its address" + (hasGateway ? ", an egress gateway too" : "")
    }
    if workloadEntries.contains(address) {
      return "a machine that a WorkloadEntry or ServiceEntry makes part of the mesh"
    }
    if isOutside(address) { return "outside of the mesh, behind a ServiceEntry or a Service without selector" }
    return holders[address] == nil ? nil : "a pod's at another time"
  }

  private func statement(ofPod place: Int) -> String {
    let pod = objects[place]
    let part =
      switch pod.proxy ?? .none {
      case .sidecar: "with a sidecar"
      case .router: gateways[place] == nil ? "a gateway, not for egress" : "an egress gateway"
      case .waypoint: "a waypoint"
      case .ambient: "in the ambient mesh"
      case .none: "without a sidecar"
      }
    let optOuts = pod.optOuts.filter { $0 != "no-proxy" }
    let reasons = optOuts.isEmpty ? "" : " (\(optOuts.joined(separator: ", ")))"
    return "pod \(pod.namespace)/\(pod.name), \(part)\(reasons)"
  }
}
