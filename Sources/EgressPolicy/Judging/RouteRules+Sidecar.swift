internal import Flows

/// Where a sidecar sent its traffic: the only place where one line proves a bypass.
extension RouteRules {
  func sidecarVerdict(_ source: SourceTraits, _ destination: DestinationTraits) -> RouteVerdict {
    switch destination.target {
    case .address(let upstream): return sidecarVerdict(source, destination, upstream)
    case .notLogged: return withoutUpstream(source, destination)
    case .name, .nothing:
      return make(
        .upstreamIsName, .sidecar, .unknown, .egress,
        assumption: "the upstream is logged as a name or a path, which does not show where the traffic went")
    }
  }

  private func sidecarVerdict(
    _ source: SourceTraits, _ destination: DestinationTraits, _ upstream: DestinationTraits.Upstream
  ) -> RouteVerdict {
    // that the address lies in the mesh does not end the question: a gateway or a proxy in the mesh sends things out
    if let verdict = declared(upstream) ?? declaredByHost(destination, upstream) ?? byTopology(destination, upstream)
      ?? guessed(upstream)
    {
      return verdict
    }
    if isDeclaredMesh(upstream) { return inMesh(.meshDeclared, upstream) }
    if isMeshByTopology(upstream) {
      var verdict = inMesh(.meshTopology, upstream)
      // A registry host says which service of the node it is; an address alone is whatever listens there, a relay too.
      if destination.cluster == .passthrough, isNode(upstream.entries), !upstream.entries.pods.intersects(active.pods) {
        verdict.assumption =
          "what a pod sends to a node's address, past all services, is taken for traffic within the cluster"
      }
      return verdict
    }
    if isOutsideByTopology(upstream) { return external(source, destination, by: .outsideTopology) }
    if upstream.isMesh {
      var verdict = inMesh(.meshObserved, upstream)
      if upstream.isMeshByInbound {
        if upstream.kind == .publicUse {
          verdict.assumption =
            "a public address is taken for a pod's because a listener for what comes in had a connection to it"
        } else if index.saysWhatIsMesh {
          verdict.assumption =
            "an address that no one says is the mesh's is taken for a pod's because a listener for what comes in had a connection to it"
        }
      }
      return verdict
    }
    switch upstream.kind {
    case .publicUse:
      return external(source, destination)
    case .loopback:
      return make(
        .ownPod, .sidecar, .unknown, .egress,
        assumption: "what a process in the same pod did with the traffic stands in no line of the sidecar")
    case .metadata:
      return make(
        .cloudMetadata, .sidecar, .unknown, .egress, severity: .warning,
        assumption: "169.254.169.254 is the cloud's metadata service on the node, neither mesh nor Internet")
    case .linkLocal, .privateUse, .sharedSpace, .reserved, .special:
      break
    }
    if let hosts = destination.hosts, hosts.internals.intersects(active.internals), upstream.kind != .special {
      return inMesh(.meshHost, upstream)
    }
    return make(
      .privateUnknown, .sidecar, .unknown, .egress,
      assumption: upstream.stranger.map { strangers[$0] } ?? Strangers.shared)
  }

  /// A call within the mesh is counted at the server's side where that was read.
  private func inMesh(_ rule: Rule, _ upstream: DestinationTraits.Upstream) -> RouteVerdict {
    var verdict = make(rule, .sidecar, .internal, .mesh)
    // A pod without a server side's lines may well have no sidecar.
    if let time = upstream.inboundTime { hand(&verdict, to: .inbound, time) }
    return verdict
  }

  /// The policy knows the address as that of a gateway or a proxy.
  private func declared(_ upstream: DestinationTraits.Upstream) -> RouteVerdict? {
    let entries = upstream.entries
    if entries.gateways.intersects(active.gateways) { return handed(.gatewayAddress, .gateway, upstream) }
    if upstream.isGatewayByRole, upstream.kind != .publicUse {
      return handed(
        .gatewayAddress, .gateway, upstream,
        // The role is one log's, of whatever time that was.
        assumption: isWorkload(entries)
          ? "an address whose log was read with the role of a gateway was a pod's then that is no gateway in the imported topology"
          : nil)
    }
    // on loopback it is a process in the pod of whoever wrote the line, here the workload's own
    if upstream.kind != .loopback {
      if entries.sniProxies.intersects(active.sniProxies) {
        return handed(
          .sniProxyAddress, .sniProxy, upstream,
          // The SNI proxy's line is the bypass, where it is read: it shows where this went.
          assumption: isGatewayDeclared
            ? "a sidecar sent to the SNI proxy past the egress gateway; the proxy's own log shows where that went" : nil
        )
      }
      if entries.forwardProxies.intersects(active.forwardProxies) {
        return handed(.forwardProxyAddress, .proxy, upstream)
      }
    }
    return nil
  }

  /// The policy knows the registry host. A public address beside the addresses it lists shows that the name is wrong;
  /// a private one may be a new pod, which stays an assumption. Where it lists none, a private address is certain, and a public one
  /// an assumption: whoever may write a ServiceEntry in a namespace may give a registry host another meaning there.
  private func declaredByHost(
    _ destination: DestinationTraits, _ upstream: DestinationTraits.Upstream
  ) -> RouteVerdict? {
    guard let hosts = destination.hosts, upstream.kind != .loopback else { return nil }
    func match(_ entries: EntrySet, _ active: EntrySet, _ index: ProxyIndex) -> (matches: Bool, isCertain: Bool) {
      let matching = entries.intersection(active)
      if matching.intersects(index.withoutAddresses) { return (true, upstream.kind != .publicUse) }
      return (!matching.isEmpty && upstream.kind != .publicUse, false)
    }
    func verdict(_ rule: Rule, _ path: Path, _ what: String, _ isCertain: Bool) -> RouteVerdict {
      handed(
        rule, path, upstream,
        assumption: isCertain
          ? nil
          : upstream.kind == .publicUse
            ? "a public address is taken for \(what) because its service is named in the policy, which lists no address"
            : "a private address outside the policy's list is taken for \(what) because its service is named there")
    }
    let gateway = match(hosts.gateways, active.gateways, index.gateways)
    if gateway.matches { return verdict(.gatewayHost, .gateway, "the egress gateway", gateway.isCertain) }
    let sniProxy = match(hosts.sniProxies, active.sniProxies, index.sniProxies)
    if sniProxy.matches { return verdict(.sniProxyHost, .sniProxy, "an SNI proxy", sniProxy.isCertain) }
    let proxy = match(hosts.forwardProxies, active.forwardProxies, index.forwardProxies)
    if proxy.matches { return verdict(.forwardProxyHost, .proxy, "a forward proxy", proxy.isCertain) }
    return nil
  }

  /// Guesses make an answer more careful, never less: a public address stays what it is.
  private func guessed(_ upstream: DestinationTraits.Upstream) -> RouteVerdict? {
    guard ![.publicUse, .loopback].contains(upstream.kind) else { return nil }
    if let guess = upstream.gatewayGuess {
      return handed(.gatewayGuess, .gateway, upstream, assumption: topology.sentences[guess])
    }
    if let guess = upstream.sniProxyGuess {
      return handed(.sniProxyGuess, .sniProxy, upstream, assumption: topology.sentences[guess])
    }
    if let guess = upstream.forwardProxyGuess {
      return handed(.forwardProxyGuess, .proxy, upstream, assumption: topology.sentences[guess])
    }
    return nil
  }

  /// It left the mesh, and not through anything that was declared.
  private func external(
    _ source: SourceTraits, _ destination: DestinationTraits, by rule: Rule? = nil
  ) -> RouteVerdict {
    var verdict: RouteVerdict
    let allowed: EntrySet
    var assumed: EntrySet?
    switch destination.cluster {
    case .passthrough:
      verdict = make(
        rule ?? .passthroughExternal, .sidecar, .passthrough, .egress, bypass: .passthrough, severity: .critical)
      allowed = destination.undeclaredExceptions
    case .none:
      verdict = make(
        rule ?? .externalNoCluster, .sidecar, .direct, .egress, bypass: .directServiceEntry, severity: .warning,
        assumption: "the format logs no cluster: whether the destination is declared is not known")
      allowed = destination.undeclaredExceptions
    default:
      verdict = make(
        rule ?? .serviceEntryExternal, .sidecar, .direct, .egress, bypass: .directServiceEntry,
        severity: isGatewayKnown ? .warning : .info)
      allowed = destination.declaredExceptions
      assumed = destination.assumedExceptions
    }
    let present = source.exceptions.intersection(active.exceptions)
    if let exception = allowed.intersection(present).first {
      verdict.exception = exception
      // Whatever was assumed of its way: the exception allows it.
      verdict.assumption = nil
    } else if let exception = assumed?.intersection(present).first {
      verdict.exception = exception
      verdict.assumption =
        "an address that the client dialled is taken for the host's that the exception allows: nothing shows that the client's proxy looks that host up"
    }
    return verdict
  }

  /// Only names are left to judge by, so nothing is certain except that an undeclared public address was dialled.
  private func withoutUpstream(_ source: SourceTraits, _ destination: DestinationTraits) -> RouteVerdict {
    let assumption = "the format logs no upstream address: the name of the cluster is taken for where the traffic went"
    if let hosts = destination.hosts, hosts.gateways.intersects(active.gateways) {
      return make(.upstreamNotLogged, .sidecar, .gateway, .egress, assumption: assumption)
    }
    if destination.isNamedGateway {
      return make(.upstreamNotLogged, .sidecar, .gateway, .egress, assumption: assumption)
    }
    if destination.cluster == .passthrough, destination.dialled?.kind == .publicUse {
      return make(
        .upstreamNotLogged, .sidecar, .passthrough, .egress, bypass: .passthrough, severity: .critical,
        assumption: "the format logs no upstream address: the address dialled is taken for where the traffic went")
    }
    return make(.upstreamNotLogged, .sidecar, .unknown, .egress, assumption: assumption)
  }

  func handed(
    _ rule: Rule, _ path: Path, _ upstream: DestinationTraits.Upstream, assumption: String? = nil
  ) -> RouteVerdict {
    var verdict = make(rule, .sidecar, path, .egress, assumption: assumption)
    var foreign: String?
    switch path {
    case .gateway:
      hand(&verdict, to: .gateway, upstream.gatewayTime)
      foreign = "a port of a gateway's address, of which that gateway's log has no line, is taken for the gateway's"
    case .sniProxy, .proxy:
      let isSNIProxy = path == .sniProxy
      hand(
        &verdict, to: isSNIProxy ? .sniProxy : .forwardProxy,
        isSNIProxy ? upstream.sniProxyTime : upstream.forwardProxyTime)
      foreign = "a port of a proxy's address, to which no service of the registry leads, is taken for the proxy's"
    default: break
    }
    if upstream.isForeignPort { verdict.assumption = verdict.assumption ?? foreign }
    return verdict
  }
}
