internal import Flows

/// Registry hosts that proxies look up themselves, so that who dials an address cannot choose where its traffic goes.
///
/// A ServiceEntry with the resolution NONE becomes an `ORIGINAL_DST` cluster, of which upstream and dialled address are always
/// the same (Istio, ServiceEntry.Resolution), and so does one with a DestinationRule for `PASSTHROUGH`; any other has addresses of its own.
///
/// Of one host, each namespace may have another ServiceEntry that the others do not see (Istio, ServiceEntry.exportTo). So one
/// that was seen, or a line, speaks for those in whose namespace it is; for all, only what a look at all namespaces found.
struct ResolvedHosts: Sendable {
  private struct Entries {
    var resolutions: Set<String> = []
    var namespaces: Set<String> = []
    /// A look at all namespaces found one of them, and with it all that there were then.
    var areAll = false
  }

  private var byTopology: [String: Entries] = [:]
  private var byLines: Set<String> = []
  private var passedThrough: [HostGlob] = []
  private var senders = Senders()

  /// Nothing is known.
  init() {}

  init(_ destinations: [Judge.DestinationFact], _ senders: Senders, _ topology: Topology, _ history: ClusterHistory?) {
    self.senders = senders
    for (place, object) in (history?.objects ?? []).enumerated() where object.kind == .serviceEntry {
      guard let resolution = object.trait("resolution") else { continue }
      for host in object.hosts.map(HostGlob.canonical) {
        byTopology[host, default: Entries()].resolutions.insert(resolution)
        byTopology[host, default: Entries()].namespaces.insert(object.namespace)
        if history?.entriesAmongAll.contains(place) ?? false { byTopology[host]?.areAll = true }
      }
    }
    for object in history?.objects ?? []
    where object.kind == .destinationRule && object.trait("load-balancer") == "PASSTHROUGH" {
      passedThrough += object.hosts.map { HostGlob($0) }
    }
    // Which of several senders a destination is of stands in the flows alone.
    guard senders.areOne else { return }
    for fact in destinations {
      guard let host = fact.cluster.registryHost, let upstream = fact.upstream, let dialled = fact.dialled,
        upstream != dialled, ResolvedHosts.isOfWorkload(dialled, topology)
      else { continue }
      byLines.insert(host)
    }
  }

  /// A workload dialled the address, for certain: in a gateway's line its own listener stands there. IPv6 gives gateways public
  /// addresses, too.
  private static func isOfWorkload(_ dialled: IPAddress, _ topology: Topology) -> Bool {
    dialled.isIPv4 && !AddressKind(dialled).canListen && !topology.gatewayProxies.contains(dialled)
  }

  /// - Parameter host: as `ClusterName.registryHost`. What the topology says of it goes before what lines show.
  func contains(_ host: String) -> Bool {
    if passedThrough.contains(where: { $0.matches(canonicalHost: host) }) { return false }
    if let entries = byTopology[host] {
      if entries.resolutions.contains("NONE") { return false }
      if entries.areAll || senders.namespaces?.isSubset(of: entries.namespaces) ?? false { return true }
    }
    return byLines.contains(host)
  }
}

/// Whose sidecars wrote lines about what their pods send.
struct Senders: Sendable {
  private enum Sender: Hashable {
    case namespace(String)
    /// A pod whose namespace nobody knows.
    case pod(IPAddress)
    case unknown
  }

  private var all: Set<Sender> = []

  /// They are of one namespace, or one pod.
  var areOne: Bool { all.count == 1 && all.first != .unknown }

  /// nil where that of some of them is not known.
  var namespaces: Set<String>? {
    let known = all.compactMap { if case .namespace(let name) = $0 { name } else { nil } }
    return all.isEmpty || known.count < all.count ? nil : Set(known)
  }

  /// None.
  init() {}

  init(_ sources: [Judge.SourceFact], _ topology: Topology, _ index: PolicyIndex, _ names: ClusterNames) {
    let addresses = AddressReader()
    for fact in sources where fact.source.proxy == .envoy && [nil, .sidecar, .unknown].contains(fact.declaredRole) {
      let source = fact.source
      let own = addresses.parse(source.proxyIP)
      let shape = topology.shape(of: fact, own: own, index)
      guard Senders.maySend(shape, own, fact.declaredRole, topology) else { continue }
      let sends = [.outbound, .outboundForwarded].contains(shape)
      let pod = own ?? (sends && !source.clientIsForwarded ? addresses.parse(source.clientIP) : nil)
      all.insert(sender(source, pod, names))
    }
  }

  /// Where the line does not show the role, a sidecar may have written it.
  private static func maySend(_ shape: HopShape, _ own: IPAddress?, _ role: Role?, _ topology: Topology) -> Bool {
    switch shape {
    case .outbound, .outboundForwarded: true
    case .inbound, .notSent: false
    case .gateway, .gatewayToLoopback, .waypoint: role == .sidecar
    default: role == .sidecar || !(own.map(topology.gatewayProxies.contains) ?? false)
    }
  }

  private func sender(_ source: Source, _ pod: IPAddress?, _ names: ClusterNames) -> Sender {
    // Nothing that a workload wrote itself is evidence, and nobody can tell which lines those were.
    if source.isWorkloadsOutput { return .unknown }
    if let namespace = source.namespace ?? pod.flatMap({ names.namespace(of: $0, log: source.log) }) {
      return .namespace(namespace)
    }
    return pod.map { .pod($0) } ?? .unknown
  }
}
