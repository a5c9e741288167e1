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
      registryHost = ClusterName.host(in: name)
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

  /// HOST is what follows the third `|`; nil when there are fewer, or nothing follows.
  private static func host(in name: String) -> String? {
    var name = name
    let host = name.withUTF8 { bytes -> String? in
      var bars = 0
      guard
        let third = bytes.firstIndex(where: { byte in
          if byte == UInt8(ascii: "|") { bars += 1 }
          return bars == 3
        }), third + 1 < bytes.count
      else { return nil }
      return String(decoding: bytes[(third + 1)...], as: UTF8.self)
    }
    return host.map(HostGlob.canonical)
  }

  /// PORT of `outbound|PORT|SUBSET|HOST`: the service's, which the destination's own may differ from.
  static func registryPort(of name: String?) -> UInt16? {
    guard let name, name.hasPrefix("outbound|") else { return nil }
    return UInt16(Substring(name.utf8.dropFirst("outbound|".utf8.count).prefix { $0 != UInt8(ascii: "|") }))
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
    ["egressgateway", "egress-gateway", "egressgw", "egress-gw", "gateway-egress"].contains { holds(host, $0) }
  }

  static func looksLikeSNIProxy(_ host: String) -> Bool {
    ["sni-proxy", "sniproxy", "sni_proxy"].contains { holds(host, $0) }
  }

  static func looksLikeForwardProxy(_ host: String) -> Bool {
    ["proxy", "squid"].contains { holds(host, $0) } && !looksLikeSNIProxy(host)
  }

  /// Byte by byte: every destination is asked, and looking for text by characters takes thirty times as long.
  private static func holds(_ host: String, _ word: StaticString) -> Bool {
    var host = host
    return host.withUTF8 { host in
      word.withUTF8Buffer { word in
        guard host.count >= word.count else { return false }
        return (0...host.count - word.count).contains { start in
          host[start] == word[0] && word.indices.allSatisfy { host[start + $0] == word[$0] }
        }
      }
    }
  }
}
