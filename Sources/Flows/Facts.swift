// What repeats from line to line, as logged: no policy has been asked yet. Thousands of these stand for millions of flows.

/// An address with a port; the text is canonical (IPv4 dotted, IPv6 compressed per RFC 5952, no brackets).
public struct Endpoint: Hashable, Sendable, Codable {
  public var ip: String
  /// 0 when the proxy wrote none or `:0`.
  public var port: UInt16

  public init(ip: String, port: UInt16) {
    self.ip = ip
    self.port = port
  }
}

/// Who sent a flow and who wrote the line: the part of a line that is the same for all requests of one client.
public struct Source: Hashable, Sendable {
  /// The log that holds the line: the ordinal the parser was given with `begin(log:)`, replaced by the row id in the store.
  public var log: Int64
  public var proxy: ProxyKind
  public var shape: HopShape
  /// The client as the proxy logged it; nil when it logged none.
  public var clientIP: String?
  /// The client's address was taken from `X-Forwarded-For` or the PROXY protocol, not from the connection.
  public var clientIsForwarded: Bool
  /// The proxy's own address: UL of a sidecar (its pod), DL of a gateway, `%<la`/`%>la` of Squid, `$server_addr` of nginx.
  public var proxyIP: String?
  /// Where the log's wrapper or path says the line was written.
  public var namespace: String?
  public var pod: String?
  public var container: String?
  /// The caller's SPIFFE identity (`DOWNSTREAM_PEER_URI_SAN`), when logged.
  public var peer: String?

  public init(
    log: Int64, proxy: ProxyKind, shape: HopShape, clientIP: String? = nil, clientIsForwarded: Bool = false,
    proxyIP: String? = nil, namespace: String? = nil, pod: String? = nil, container: String? = nil,
    peer: String? = nil
  ) {
    self.log = log
    self.proxy = proxy
    self.shape = shape
    self.clientIP = clientIP
    self.clientIsForwarded = clientIsForwarded
    self.proxyIP = proxyIP
    self.namespace = namespace
    self.pod = pod
    self.container = container
    self.peer = peer
  }

  /// The shape, unless the client is the proxy's own pod. A workload that dials its own address makes UL, DL and DR equal,
  /// while the Host header it sends decides where its sidecar connects: such a line must not pass for a gateway's.
  public var effectiveShape: HopShape {
    shape == .gateway && clientIP != nil && clientIP == proxyIP ? .outbound : shape
  }

  /// Looks like a sidecar's line, but another container than Istio's `istio-proxy` wrote it: a workload can print what it
  /// likes, and so such a line is evidence of nothing.
  public var isWorkloadsOutput: Bool {
    guard Source.isWorkload(container: container) else { return false }
    switch shape {
    case .outbound, .outboundForwarded, .inbound: return true
    case .gateway: return clientIP == proxyIP
    default: return false
    }
  }
}

extension Source {
  /// Another container than the one that Istio gives its proxies, sidecars and gateways.
  public static func isWorkload(container: String?) -> Bool { container.map { $0 != "istio-proxy" } ?? false }
}

/// Where a flow went, or wanted to go.
public struct Destination: Hashable, Sendable {
  /// Which name `host` is.
  public enum HostOrigin: String, Sendable, Codable {
    /// HTTP authority: the client wrote it.
    case authority
    /// TLS server name: the client wrote it.
    case sni
    /// CONNECT target or absolute URL at a forward proxy, which resolves the name itself.
    case target
    /// The registry host of the cluster: the mesh's configuration wrote it.
    case cluster
    case address
  }
  public enum Traffic: String, Sendable, Codable {
    /// HTTP requests, seen one by one.
    case http
    /// A TCP (or TLS, or CONNECT) connection as a whole; its duration is the connection's life.
    case tcp
    case udp
  }

  /// The name to report, by precedence authority, SNI, CONNECT target, cluster host, address; lower case, no port, no trailing dot.
  public var host: String?
  public var hostOrigin: HostOrigin?
  /// The port at the destination that `host` names; 0 when unknown.
  public var port: UInt16
  public var traffic: Traffic
  /// As logged, lower case, without port.
  public var authority: String?
  /// As logged, lower case.
  public var sni: String?
  /// `UPSTREAM_CLUSTER` without the trailing `;`.
  public var cluster: String?
  public var routeName: String?
  /// `UPSTREAM_HOST`, `%<a:%<p`, the last of nginx's `$upstream_addr`: where the bytes really went; nil when nothing was sent (or not logged).
  public var upstream: Endpoint?
  /// The upstream was logged but is no IP address: a unix path, `envoy://...`, a host name.
  public var upstreamName: String?
  /// DL: what the workload dialled (sidecar) or the proxy's listener (gateway).
  public var dialled: Endpoint?
  /// The format has a column for the upstream address, so that nil means "nothing was sent".
  public var logsUpstream: Bool
  /// Of an Envoy line that another container than a proxy's printed, as a workload can: what such lines say of an address is evidence
  /// of nothing.
  public var isWorkloadsOutput = false

  public init(
    host: String? = nil, hostOrigin: HostOrigin? = nil, port: UInt16 = 0, traffic: Traffic = .http,
    authority: String? = nil, sni: String? = nil, cluster: String? = nil, routeName: String? = nil,
    upstream: Endpoint? = nil, upstreamName: String? = nil, dialled: Endpoint? = nil, logsUpstream: Bool = true
  ) {
    self.host = host
    self.hostOrigin = hostOrigin
    self.port = port
    self.traffic = traffic
    self.authority = authority
    self.sni = sni
    self.cluster = cluster
    self.routeName = routeName
    self.upstream = upstream
    self.upstreamName = upstreamName
    self.dialled = dialled
    self.logsUpstream = logsUpstream
  }
}

/// How a flow went, in the proxy's own words.
public struct Outcome: Hashable, Sendable {
  /// `HTTP/1.1`, `HTTP/2`, ... or `TCP`, `UDP`; nil when not logged.
  public var `protocol`: String?
  public var method: String?
  /// HTTP status, Squid's status or nginx's session status; nil when not logged. Envoy's 0 is kept as 0.
  public var status: Int?
  /// Envoy's response flags as logged (`UF,URX`), or Squid's result tag (`TCP_DENIED`); nil for `-`.
  public var flags: String?
  /// `RESPONSE_CODE_DETAILS`, or Squid's hierarchy code (`HIER_DIRECT`); addresses and ports inside are replaced by `*`.
  public var details: String?
  /// `CONNECTION_TERMINATION_DETAILS`, or Squid's `%err_code`.
  public var termination: String?
  /// `UPSTREAM_TRANSPORT_FAILURE_REASON`.
  public var failure: String?
  /// `ACCESS_LOG_TYPE`, when logged: only `...End` records are countable.
  public var recordType: String?
  /// Squid's request target is a pseudo URL (`error:transaction-end-before-headers`): the part after `error:`.
  /// Or what else a line shows of its end: nginx's, `probe` and `passedOn`; Envoy's, a status of gRPC (`grpcPrefix`).
  public var pseudoTarget: String?
  /// An nginx stream session without a server name and an upstream, in which no byte went either way.
  public static let probe = "probe"
  /// A status of 400 or more, and the address of an upstream, which nginx had asked by then.
  public static let passedOn = "passed-on"
  /// Stands before the number of a status of gRPC.
  public static let grpcPrefix = "grpc-"
  /// The record type of what Squid writes beside its access log.
  public static let sideLog = "side-log"
  public var warnings: Warnings

  public init(
    protocol: String? = nil, method: String? = nil, status: Int? = nil, flags: String? = nil, details: String? = nil,
    termination: String? = nil, failure: String? = nil, recordType: String? = nil, pseudoTarget: String? = nil,
    warnings: Warnings = []
  ) {
    self.`protocol` = `protocol`
    self.method = method
    self.status = status
    self.flags = flags
    self.details = details
    self.termination = termination
    self.failure = failure
    self.recordType = recordType
    self.pseudoTarget = pseudoTarget
    self.warnings = warnings
  }
}
