internal import Flows

/// What a second log or an inventory can prove of a gateway's or a proxy's line: that its client came around a hop.
///
/// Here the claim is made ready, by what is said of the client as such. Whether it holds for a flow, `judged_flow` says: a
/// hop before that the connection proves refutes it, and without an inventory's word it needs the client's own log.
extension RouteRules {
  /// Adds the claim, and the warning that stands for as long as nothing proves or refutes it.
  func claim(_ bypass: Bypass, _ verdict: inout RouteVerdict, _ source: SourceTraits, _ destination: DestinationTraits)
  {
    if let client = source.client, isProperHop(client, before: bypass) { return }
    verdict.warnings = [RouteRules.unproven]
    guard let client = source.client, isClaimable(client), leavesMesh(destination, verdict) else { return }
    let around = hop(bypassedBy: bypass)
    verdict.claim = BypassClaim(
      bypass: bypass, severity: around == .gateway ? .critical : .warning, around: around,
      reason: isWithoutSidecar(client) ? .clientHasNoSidecar : nil,
      needsGateway: bypass == .sniProxyDirect && isGatewayDeclared)
  }

  /// The client is the hop that should stand before, by the policy or because it wrote a gateway's lines.
  private func isProperHop(_ client: SourceTraits.Client, before bypass: Bypass) -> Bool {
    // A client on loopback is some process in the same pod; only a join can show which.
    guard client.kind != .loopback, bypass != .noSidecar else { return false }
    return mayBeGateway(client) || client.entries.gateways.intersects(active.gateways)
      || gatewayEvidence(client.entries.cluster) == .certain
      || client.entries.sniProxies.intersects(active.sniProxies)
  }

  /// It wrote a gateway's lines, and nobody said which addresses the egress gateways have, or that this pod has or lacks a sidecar: an
  /// ingress gateway writes such lines, too, and so can a workload.
  private func mayBeGateway(_ client: SourceTraits.Client) -> Bool {
    client.isGatewayByRole && !isWorkload(client.entries)
      || client.wroteGatewayLines && !hasAllGateways && hasSidecar(client) == nil
  }

  /// The addresses of each gateway are known, so that whoever has another one is none: the policy declares them, or sidecars'
  /// lines show where its registry host leads.
  private var hasAllGateways: Bool {
    let declared = index.policy.gateways.indices.filter { active.gateways.contains($0) }
    return !declared.isEmpty
      && declared.allSatisfy { gateway in
        !index.policy.gateways[gateway].addresses.isEmpty
          || topology.taughtGateways.values.contains { $0.contains(gateway) }
      }
  }

  /// The client is somebody who could have a sidecar. Of what may be a gateway or a proxy itself, nothing is claimed.
  private func isClaimable(_ client: SourceTraits.Client) -> Bool {
    switch client.kind {
    case nil, .loopback, .metadata, .special: return false
    default: break
    }
    return (!client.wroteGatewayLines || hasSidecar(client) == false) && !client.isGuessedProxy
      && !client.entries.gateways.intersects(active.gateways)
      && !client.entries.sniProxies.intersects(active.sniProxies)
      && !client.entries.forwardProxies.intersects(active.forwardProxies)
      && gatewayEvidence(client.entries.cluster) == nil
  }

  /// What an Envoy sends on into the mesh is no egress; where it is only taken for the egress gateway, it must show that
  /// the traffic left.
  private func leavesMesh(_ destination: DestinationTraits, _ verdict: RouteVerdict) -> Bool {
    guard verdict.role == .gateway, case .address(let upstream) = destination.target else { return true }
    if upstream.kind == .publicUse || isOutsideByTopology(upstream) || verdict.nextHopFromMs != nil { return true }
    // Logs of such proxies were read, of whichever: who hands on to one sends out of the mesh.
    if verdict.nextHop == .sniProxy, upstream.kind == .loopback, topology.hasUnreadSidecars { return true }
    if verdict.nextHop == .forwardProxy, topology.hasUnreadForwardProxies { return true }
    return verdict.assumption == nil && !isInternal(upstream)
  }

  /// Before a gateway stands the sidecar, before an SNI proxy the gateway; before a forward proxy the gateway too, unless
  /// sidecars go straight to it.
  private func hop(bypassedBy bypass: Bypass) -> BypassedHop {
    switch bypass {
    case .sniProxyDirect: .gateway
    case .squidDirect: isGatewayKnown && !topology.isForwardProxyReachedBySidecars ? .gateway : .sidecar
    default: .sidecar
    }
  }

  private func isWithoutSidecar(_ client: SourceTraits.Client) -> Bool {
    hasSidecar(client) == false || isOutside(client.entries)
  }

  /// Somebody said which gateway there is: it is no guess.
  var isGatewayDeclared: Bool {
    !topology.declaredGateways.isEmpty || hasGatewayEvidence || index.evidence.knownGateway == .certain
      || !active.gateways.isEmpty
  }
}
