public import Flows

/// Who carries a sidecar, by the policy's `pods` and, where they are silent, by the imported topology.
///
/// Exact in time, for questions about single flows. `RouteRules` asks `hasSidecar(_:)` instead, whose answers are coarser
/// where pods come and go often. An address of a node says nothing: any pod may stand behind it, with a sidecar or without.
public struct SidecarInventory: Sendable {
  private let policy: Policy
  private let declared: RangeIndex
  private let history: ClusterHistory?

  public init(policy: Policy?, topology: ClusterRecord? = nil) {
    self.policy = policy ?? Policy()
    declared = RangeIndex(self.policy.pods.map(\.addresses))
    history = topology.flatMap { $0.isEmpty ? nil : ClusterHistory($0) }
  }

  /// Whether the pod that had the address then carries a sidecar; nil where nobody knows.
  public func hasSidecar(_ ip: String, atMs ms: Int64) -> Bool? {
    guard let address = IPAddress(ip) else { return nil }
    let entries = declared.entries(containing: address)
    let spoken = policy.pods.indices.lazy.filter { entries.contains($0) && policy.pods[$0].validity.contains(ms) }
    if let answer = spoken.compactMap({ policy.pods[$0].hasSidecar }).first { return answer }
    guard let pod = pod(at: address, ms) else { return nil }
    guard let proxy = pod.proxy else { return nil }
    switch proxy {
    case .sidecar: return true
    case .none: return false
    // a gateway's or a ztunnel's pod is no question of sidecars
    case .router, .waypoint, .ambient: return nil
    }
  }

  /// How the pod that had the address then keeps traffic away from its sidecar, as `ClusterObject.optOuts` says it.
  public func optOuts(of ip: String, atMs ms: Int64) -> [String] {
    IPAddress(ip).flatMap { pod(at: $0, ms) }?.optOuts ?? []
  }

  /// nil where several are possible.
  private func pod(at address: IPAddress, _ ms: Int64) -> ClusterObject? {
    guard let history else { return nil }
    let holders = history.holders(of: address, from: ms, until: ms)
    guard holders.count == 1 else { return nil }
    return history.objects[holders[0].object]
  }
}

extension RouteRules {
  /// Whether the client carries a sidecar in this interval; the policy's own pods come first. nil where nobody knows.
  func hasSidecar(_ client: SourceTraits.Client) -> Bool? {
    let holding = client.entries.pods.intersection(active.pods)
    let all = index.policy.pods.indices.filter { holding.contains($0) }
    let own = all.first { index.declaredPods.contains($0) && index.policy.pods[$0].hasSidecar != nil }
    if let own { return index.policy.pods[own].hasSidecar }
    let answers = Set(all.compactMap { index.policy.pods[$0].hasSidecar })
    return answers.count == 1 ? answers.first : nil
  }
}
