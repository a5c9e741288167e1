internal import Flows

/// Decides the route of one source class to one destination class while one set of policy entries holds.
///
/// `Rule` lists what is decided here, `RouteRules+Sidecar` holds the part where bypasses are found.
struct RouteRules: Sendable {
  let index: PolicyIndex
  let topology: Topology
  /// Sentences about private addresses of which nothing is known, by number.
  let strangers: [String]
  let active: ActiveEntries

  /// Somebody knows a gateway, used or not: the policy, a log's declared role, the imported topology, or a guess.
  var isGatewayKnown: Bool {
    if !topology.declaredGateways.isEmpty || hasGatewayEvidence || index.evidence.knownGateway != nil { return true }
    // Also between two entries, or after the last one.
    return !index.gateways.isEmpty || !topology.guessedGateways.isEmpty
  }

  func verdict(_ source: SourceTraits, _ destination: DestinationTraits) -> RouteVerdict {
    switch source.proxy {
    case .nginxStream, .nginxHTTP, .squid: proxyVerdict(source, destination)
    case .envoy: envoyVerdict(source, destination)
    }
  }

  private func envoyVerdict(_ source: SourceTraits, _ destination: DestinationTraits) -> RouteVerdict {
    let role = role(source, destination)
    if role == .inbound {
      if destination.target == .nothing { return make(.serverSide, role, .none, .meshUnsent) }
      return make(.serverSide, role, .internal, .mesh, assumption: assumptionOfServerSide(destination.target))
    }
    if destination.cluster == .bootstrap, !isOutside(destination.target) {
      return make(.proxyOwnTraffic, role, .internal, .mesh)
    }
    if destination.target == .nothing { return make(.nothingSent, role, .none, unsentContext(role, destination)) }
    switch role {
    case .sidecar: return sidecarVerdict(source, destination)
    case .gateway: return gatewayVerdict(source, destination)
    case .sniProxy, .forwardProxy: return proxyVerdict(source, destination)
    case .waypoint: return waypointVerdict(destination)
    case .inbound, .unknown: return unknownVerdict(source, destination)
    }
  }

  /// What containers or machines inside a pod send may come to the listener for what comes in. Of IPv6, pods may have public
  /// addresses: those whose sidecar wrote lines about what it sends do.
  private func assumptionOfServerSide(_ target: DestinationTraits.Target) -> String? {
    guard case .address(let upstream) = target, !isDeclaredMesh(upstream), !isMeshByTopology(upstream),
      !upstream.isMesh || upstream.isMeshByInbound
    else { return nil }
    switch upstream.kind {
    case .loopback, .special: return nil
    case .publicUse: return "a public address behind a listener for what comes in is taken for the pod's own"
    default:
      return index.saysWhatIsMesh
        ? "an address that no one says is the mesh's, behind a listener for what comes in, is taken for the pod's own"
        : nil
    }
  }

  private func isOutside(_ target: DestinationTraits.Target) -> Bool {
    guard case .address(let upstream) = target else { return false }
    return (upstream.kind == .publicUse || isOutsideByTopology(upstream)) && !isInternal(upstream)
  }

  // MARK: - Role

  func role(_ source: SourceTraits, _ destination: DestinationTraits) -> Role {
    if source.shape == .inbound || destination.cluster == .inbound { return .inbound }
    if let declared = source.declaredRole, declared != .unknown { return declared }
    switch source.shape {
    case .outbound, .outboundForwarded:
      return .sidecar
    case .gateway:
      return .gateway
    case .gatewayToLoopback:
      // where no gateway can listen, DL is what a workload dialled
      return source.own?.kind.canListen ?? true || isDeclaredGateway(source.own) ? .gateway : .sidecar
    case .waypoint:
      return isDeclaredGateway(source.own) ? .gateway : .waypoint
    case .notSent, .other, .unaddressed, .internalListener, .server, .sideLog, .inbound:
      if destination.cluster == .waypoint { return .waypoint }
      return source.shape == .notSent ? roleOfUnsent(source, destination) : roleByOwnAddress(source, destination)
    }
  }

  func isDeclaredGateway(_ own: SourceTraits.Own?) -> Bool {
    guard let own else { return false }
    return own.gateways.intersects(active.gateways) || gatewayEvidence(own.cluster) == .certain
  }

  private func roleByOwnAddress(_ source: SourceTraits, _ destination: DestinationTraits) -> Role {
    if isDeclaredGateway(source.own) { return .gateway }
    if source.own?.isMesh ?? false { return .sidecar }
    // only sidecars have this cluster and this route
    if destination.cluster == .passthrough || destination.route == .blockAll { return .sidecar }
    return .unknown
  }

  /// UL is missing. DL is the proxy's own listener, or what the workload dialled.
  private func roleOfUnsent(_ source: SourceTraits, _ destination: DestinationTraits) -> Role {
    let dialled = destination.dialled
    if source.client?.isSidecarOfLog ?? false, !(dialled?.isGateway ?? false) { return .sidecar }
    if isDeclaredGateway(source.own) { return .gateway }
    if let dialled,
      dialled.isGateway || dialled.entries.gateways.intersects(active.gateways)
        || gatewayEvidence(dialled.entries.cluster) == .certain
    {
      return source.log.hasSidecarLines && !source.log.hasGatewayLines ? .sidecar : .gateway
    }
    if destination.route == .blockAll || [.blackHole, .passthrough].contains(destination.cluster) { return .sidecar }
    // A gateway listens on an address of its pod: a public one is what a workload dialled, whatever else stands in the log.
    if dialled?.kind == .publicUse { return .sidecar }
    if source.log.hasGatewayLines, !source.log.hasSidecarLines { return .gateway }
    guard let dialled else { return .unknown }
    switch dialled.kind {
    case .publicUse, .reserved: return .sidecar
    case .loopback: return .unknown
    default:
      if dialled.isMesh, source.log.hasSidecarLines, !source.log.hasGatewayLines { return .inbound }
      return .unknown
    }
  }

  private func unsentContext(_ role: Role, _ destination: DestinationTraits) -> OutcomeContext {
    if destination.route == .blockAll { return .blockAll }
    if destination.cluster == .blackHole { return .blackHole }
    if role == .unknown { return .unknown }
    if role == .sidecar, let dialled = destination.dialled,
      dialled.isMesh || dialled.entries.internals.intersects(active.internals)
        || dialled.entries.pods.intersects(active.pods) || isInsideCluster(dialled.entries)
    {
      return .meshUnsent
    }
    // Istio 1.9 left the name of the black hole out
    if role == .sidecar, destination.cluster == .none, destination.traffic == .tcp { return .blackHole }
    return .egressUnsent
  }

  // MARK: - Gateway

  private func gatewayVerdict(_ source: SourceTraits, _ destination: DestinationTraits) -> RouteVerdict {
    let isMeshClient = isMesh(source.client)
    if !isMeshClient, case .address(let upstream) = destination.target, upstream.kind != .publicUse,
      // What goes to a declared proxy is on its way out, wherever that stands.
      !upstream.entries.sniProxies.intersects(active.sniProxies),
      !upstream.entries.forwardProxies.intersects(active.forwardProxies)
    {
      let isKnown = isInternal(upstream)
      if isKnown || source.client?.kind == .publicUse || destination.cluster == .eastWest {
        return make(
          .ingress, .gateway, .internal, .mesh,
          assumption: isKnown
            ? nil
            : "a private destination is taken for the mesh because the request came to the gateway from outside it")
      }
    }
    var verdict = make(.gatewayLine, .gateway, .gateway, .egress, assumption: gatewayAssumption(source, destination))
    if case .address(let upstream) = destination.target {
      let isAtSNIProxy = upstream.kind == .loopback || isSNIProxy(upstream)
      let isAtForwardProxy = isForwardProxy(upstream, destination)
      if isAtSNIProxy, upstream.sniProxyTime != nil || !isAtForwardProxy || upstream.forwardProxyTime == nil {
        hand(&verdict, to: .sniProxy, upstream.sniProxyTime)
      } else if isAtForwardProxy {
        hand(&verdict, to: .forwardProxy, upstream.forwardProxyTime)
      }
    }
    claim(.noSidecar, &verdict, source, destination)
    if verdict.claim != nil {
      verdict.exception =
        destination.declaredExceptions.union(destination.assumedExceptions).intersection(source.exceptions)
        .intersection(active.exceptions).first
    }
    return verdict
  }

  /// That a proxy is the egress gateway is certain only when somebody said so.
  private func gatewayAssumption(_ source: SourceTraits, _ destination: DestinationTraits) -> String? {
    // A folder that was declared as a whole.
    if destination.cluster == .passthrough {
      return "a line with the cluster PassthroughCluster, which only sidecars have, is taken for a gateway's"
    }
    if source.declaredRole == .gateway || isDeclaredGateway(source.own) { return nil }
    guard let own = source.own else {
      // A connection that came about to nowhere has no local address; the listener's stands there, in a log of gateways alone.
      let isAtGateway = destination.dialled?.entries.gateways.intersects(active.gateways) ?? false
      if isAtGateway, source.log.hasGatewayLines, !source.log.hasSidecarLines { return nil }
      return "a proxy that logs no address of its own is taken for the egress gateway"
    }
    if let guess = own.guess { return topology.sentences[guess] }
    return index.gateways.isEmpty
      ? "a proxy is taken for the egress gateway because it wrote lines as one"
      : "a proxy that neither the policy nor a sidecar's line shows to be a gateway wrote lines as one"
  }

  /// The client is a workload of the mesh.
  func isMesh(_ client: SourceTraits.Client?) -> Bool {
    guard let client else { return false }
    return client.hasSidecarLines || client.hasIdentity || client.entries.pods.intersects(active.pods)
      || client.entries.internals.intersects(active.internals)
  }

  func isInternal(_ upstream: DestinationTraits.Upstream) -> Bool {
    upstream.isMesh || isDeclaredMesh(upstream) || isMeshByTopology(upstream)
  }

  func isDeclaredMesh(_ upstream: DestinationTraits.Upstream) -> Bool {
    upstream.entries.internals.intersects(active.internals)
      || upstream.entries.pods.intersects(active.pods.intersection(index.declaredPods))
  }

  private func isSNIProxy(_ upstream: DestinationTraits.Upstream) -> Bool {
    upstream.sniProxyGuess != nil || upstream.entries.sniProxies.intersects(active.sniProxies)
  }

  private func isForwardProxy(_ upstream: DestinationTraits.Upstream, _ destination: DestinationTraits) -> Bool {
    upstream.forwardProxyGuess != nil || upstream.entries.forwardProxies.intersects(active.forwardProxies)
      || (upstream.kind != .publicUse && destination.hosts?.forwardProxies.intersects(active.forwardProxies) ?? false)
  }

  // MARK: - Waypoints and lines without a place

  private func waypointVerdict(_ destination: DestinationTraits) -> RouteVerdict {
    if case .address(let upstream) = destination.target, isInternal(upstream) {
      return make(.waypoint, .waypoint, .internal, .mesh)
    }
    return make(
      .waypoint, .waypoint, .unknown, .mesh,
      assumption: "a waypoint's line does not show whether its destination lies in the mesh")
  }

  private func unknownVerdict(_ source: SourceTraits, _ destination: DestinationTraits) -> RouteVerdict {
    if case .address(let upstream) = destination.target {
      if upstream.entries.gateways.intersects(active.gateways) {
        return make(.gatewayAddress, .unknown, .gateway, .unknown)
      }
      if gatewayEvidence(upstream.entries.cluster) == .certain {
        return make(.gatewayTopology, .unknown, .gateway, .unknown)
      }
      if isInternal(upstream) { return make(.meshDeclared, .unknown, .internal, .mesh) }
    }
    return make(
      .roleUnknown, .unknown, .unknown, .unknown,
      assumption: "the line does not show whether a sidecar or a gateway wrote it; --role can say so")
  }

  // MARK: - nginx and Squid

  static let unproven = "source-unproven"

  private func proxyVerdict(_ source: SourceTraits, _ destination: DestinationTraits) -> RouteVerdict {
    let context: OutcomeContext =
      switch source.proxy {
      case .nginxStream: .nginxStream
      case .nginxHTTP: .nginxHTTP
      case .squid: .squid
      case .envoy: .egress
      }
    let isForward =
      source.proxy == .squid || source.own?.forwardProxies.intersects(active.forwardProxies) ?? false
      || (source.proxy == .nginxHTTP && destination.isRequestTarget)
    let inferred: Role = source.proxy == .nginxStream ? .sniProxy : isForward ? .forwardProxy : .unknown
    let declared = source.declaredRole.flatMap { $0 == .unknown ? nil : $0 }
    var verdict: RouteVerdict
    switch declared ?? inferred {
    case .sniProxy:
      verdict = make(.sniProxyLine, .sniProxy, .sniProxy, context)
      claim(.sniProxyDirect, &verdict, source, destination)
    case .forwardProxy:
      verdict = make(.forwardProxyLine, .forwardProxy, .proxy, context)
      claim(.squidDirect, &verdict, source, destination)
    case .gateway:
      verdict = make(.gatewayLine, .gateway, .gateway, context)
      claim(.noSidecar, &verdict, source, destination)
    case let role:
      return make(
        .webServerLine, role, .unknown, context,
        assumption: "the line does not show whether nginx answered itself or passed the request on; --role can say so")
    }
    verdict.exception =
      destination.resolvedExceptions.intersection(source.exceptions).intersection(active.exceptions).first
    return verdict
  }

  // MARK: -

  func make(
    _ rule: Rule, _ role: Role, _ path: Path, _ context: OutcomeContext, bypass: Bypass? = nil,
    severity: Severity = .info, assumption: String? = nil
  ) -> RouteVerdict {
    RouteVerdict(
      role: role, path: path, bypass: bypass, severity: severity, context: context, rule: rule.rawValue,
      assumption: assumption)
  }

  /// Says where the flow is told of again, and for which time that log was read; nil where none of it was.
  func hand(_ verdict: inout RouteVerdict, to role: Role, _ time: ReadTime?) {
    verdict.nextHop = role
    verdict.nextHopFromMs = time?.span.fromMs
    verdict.nextHopUntilMs = time?.span.untilMs
    verdict.nextHopHoles = time?.holes ?? []
  }
}
