/// What the name of an Envoy cluster says (Istio `pilot/pkg/networking/util/util.go`, `core/listener_builder.go`).
///
/// The mesh's configuration writes cluster names, clients do not. Even so the name only says what was *meant*; the
/// upstream address says where the bytes went.
struct ClusterName: Hashable, Sendable {
  enum Kind: UInt8, Hashable, Sendable {
    /// The line or its format has none.
    case none
    /// `PassthroughCluster`, `AllowAnyDynamicDNSCluster`: the destination is in no registry.
    case passthrough
    case blackHole
    /// `outbound|PORT|SUBSET|HOST`.
    case outbound
    /// `outbound_.PORT_.SUBSET_.HOST`: TLS between mesh proxies through an east-west gateway.
    case eastWest
    /// `inbound|...`, `InboundPassthroughCluster`: the server's side.
    case inbound
    /// `inbound-vip|...` and the plumbing of waypoints and HBONE.
    case waypoint
    /// What a proxy needs for itself: control plane, certificates, metrics.
    case bootstrap
    /// Any other name, written by hand.
    case custom
  }

  let kind: Kind
  /// The service in the registry, lower case; of a wildcard ServiceEntry the pattern itself (`*.example.com`).
  let registryHost: String?

  init(_ name: String?) {
    guard var name, !name.isEmpty, name != "-" else {
      kind = .none
      registryHost = nil
      return
    }
    if name.hasSuffix(";") { name.removeLast() }
    if name.hasPrefix("outbound|") {
      kind = .outbound
      registryHost = ClusterName.lastPart(of: name, separator: "|")
    } else if name.hasPrefix("outbound_.") {
      kind = .eastWest
      registryHost = nil
    } else if name.hasPrefix("inbound|") || name.hasPrefix("inbound_.")
      || name.hasPrefix("InboundPassthroughCluster")
    {
      kind = .inbound
      registryHost = nil
    } else if name.hasPrefix("inbound-vip|") {
      kind = .waypoint
      registryHost = nil
    } else {
      kind = ClusterName.fixed[name] ?? .custom
      registryHost = nil
    }
  }

  /// HOST is what follows the third separator; nil when there are fewer, or nothing follows.
  private static func lastPart(of name: String, separator: Character) -> String? {
    let parts = name.split(separator: separator, maxSplits: 3, omittingEmptySubsequences: false)
    guard parts.count == 4, !parts[3].isEmpty else { return nil }
    return HostGlob.canonical(String(parts[3]))
  }

  private static let fixed: [String: Kind] = [
    "PassthroughCluster": .passthrough, "AllowAnyDynamicDNSCluster": .passthrough, "BlackHoleCluster": .blackHole,
    "connect_terminate": .waypoint, "main_internal": .waypoint, "connect_originate": .waypoint, "encap": .waypoint,
    "inner_connect_originate": .waypoint, "outer_connect_originate": .waypoint, "forward_inner_connect": .waypoint,
    "agent": .bootstrap, "prometheus_stats": .bootstrap, "xds-grpc": .bootstrap, "sds-grpc": .bootstrap,
    "local_cluster": .bootstrap, "envoy_accesslog_service": .bootstrap,
  ]

  /// The words by which people name such services; only ever the ground of a guess.
  static func looksLikeGateway(_ host: String) -> Bool {
    ["egressgateway", "egress-gateway", "egressgw", "egress-gw", "gateway-egress"].contains { host.contains($0) }
  }

  static func looksLikeSNIProxy(_ host: String) -> Bool {
    ["sni-proxy", "sniproxy", "sni_proxy"].contains { host.contains($0) }
  }

  static func looksLikeForwardProxy(_ host: String) -> Bool {
    ["proxy", "squid"].contains { host.contains($0) } && !looksLikeSNIProxy(host)
  }
}
