internal import Flows

/// What the imported topology decides, where the policy is silent.
extension RouteRules {
  enum GatewayEvidence: Equatable {
    case certain
    /// For the reason that stands there.
    case assumed(String)
  }

  /// Whether one of these entries of the topology is an egress gateway. Where the policy declares gateways, its list is
  /// the whole list: another one is shown, and never clears.
  func gatewayEvidence(_ entries: EntrySet) -> GatewayEvidence? {
    guard !entries.isEmpty else { return nil }
    var found: GatewayEvidence?
    for (number, entry) in index.evidence.entries.enumerated()
    where entries.contains(number) && active.cluster.contains(number) {
      switch entry.fact {
      case .gateway(.certain) where index.gateways.isEmpty: return .certain
      case .gateway(.certain):
        found = .assumed(
          "a pod is an egress gateway in the imported topology, and not in the policy's list of gateways")
      case .gateway(.guessed):
        found = found ?? .assumed(ClusterEvidence.guessedGateway)
      case .gatewayAtTimes:
        found =
          found
          ?? .assumed("the address was an egress gateway's at some of the times, which are too many to tell apart")
      case .gatewayNode:
        found =
          found
          ?? .assumed("a node's address is taken for that of the egress gateway which shares it (hostNetwork)")
      case .workload, .inside, .node, .outside: continue
      }
    }
    return found
  }

  var hasGatewayEvidence: Bool {
    index.evidence.entries.enumerated().contains { number, entry in
      entry.fact == .gateway(.certain) && active.cluster.contains(number)
    }
  }

  /// A gateway by its address, or, on a private address that the topology does not know, by its Service.
  func byTopology(
    _ destination: DestinationTraits, _ upstream: DestinationTraits.Upstream
  ) -> RouteVerdict? {
    // the policy's pod is what the policy says it is
    guard ![.publicUse, .loopback].contains(upstream.kind) || gatewayEvidence(upstream.entries.cluster) != nil,
      !upstream.entries.pods.intersects(active.pods.intersection(index.declaredPods))
    else { return nil }
    switch gatewayEvidence(upstream.entries.cluster) {
    case .certain: return handed(.gatewayTopology, .gateway, upstream)
    // Of what shares a node's address with a gateway, a Service of its own tells it apart.
    case .assumed where holds(.gatewayNode, upstream.entries) && destination.hosts?.isOtherService ?? false: break
    case .assumed(let reason): return handed(.gatewayTopology, .gateway, upstream, assumption: reason)
    case nil: break
    }
    // A gateway with `hostNetwork` may be on another node than the one that was seen.
    let isNode = isNode(upstream.entries)
    guard destination.hosts?.isGatewayService ?? false, upstream.entries.pods.isEmpty,
      isNode || upstream.entries.cluster.isEmpty, upstream.gatewayGuess == nil
    else { return nil }
    let what = isNode ? "a node's address" : "a private address outside the imported topology"
    return handed(
      .gatewayTopology, .gateway, upstream,
      assumption: "\(what) is taken for the egress gateway because of its Service"
    )
  }

  func isMeshByTopology(_ upstream: DestinationTraits.Upstream) -> Bool {
    upstream.entries.pods.intersects(active.pods) || isInsideCluster(upstream.entries)
  }

  func isInsideCluster(_ entries: AddressEntries) -> Bool { holds(.inside, entries) || isNode(entries) }

  func isNode(_ entries: AddressEntries) -> Bool { holds(.node, entries) }

  func isOutsideByTopology(_ upstream: DestinationTraits.Upstream) -> Bool { holds(.outside, upstream.entries) }

  func isOutside(_ entries: AddressEntries) -> Bool { holds(.outside, entries) }

  /// A pod that is no gateway had the address of a gateway's log then.
  func isWorkload(_ entries: AddressEntries) -> Bool { holds(.workload, entries) }

  private func holds(_ fact: ClusterEvidence.Fact, _ entries: AddressEntries) -> Bool {
    guard !entries.cluster.isEmpty else { return false }
    return index.evidence.entries.enumerated().contains { number, entry in
      entry.fact == fact && entries.cluster.contains(number) && active.cluster.contains(number)
    }
  }

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
