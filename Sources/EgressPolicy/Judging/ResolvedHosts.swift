internal import Flows

/// Registry hosts that proxies look up themselves, so that who dials an address cannot choose where its traffic goes.
///
/// A ServiceEntry with the resolution NONE becomes an `ORIGINAL_DST` cluster, of which upstream and dialled address are always
/// the same (Istio, ServiceEntry.Resolution), and so does one with a DestinationRule for `PASSTHROUGH`; any other has addresses of its own.
struct ResolvedHosts: Sendable {
  private var byTopology: [String: Set<String>] = [:]
  private var byLines: Set<String> = []
  private var passedThrough: [HostGlob] = []

  /// Nothing is known.
  init() {}

  init(_ destinations: [Judge.DestinationFact], _ history: ClusterHistory?) {
    for object in history?.objects ?? [] where object.kind == .serviceEntry {
      guard let resolution = object.trait("resolution") else { continue }
      for host in object.hosts { byTopology[HostGlob.canonical(host), default: []].insert(resolution) }
    }
    for object in history?.objects ?? []
    where object.kind == .destinationRule && object.trait("load-balancer") == "PASSTHROUGH" {
      passedThrough += object.hosts.map { HostGlob($0) }
    }
    for fact in destinations {
      guard let host = fact.cluster.registryHost, let upstream = fact.upstream, let dialled = fact.dialled,
        upstream != dialled
      else { continue }
      byLines.insert(host)
    }
  }

  /// - Parameter host: as `ClusterName.registryHost`. What the topology says of it goes before what lines show.
  func contains(_ host: String) -> Bool {
    if passedThrough.contains(where: { $0.matches(canonicalHost: host) }) { return false }
    if let resolutions = byTopology[host] { return !resolutions.contains("NONE") }
    return byLines.contains(host)
  }
}
