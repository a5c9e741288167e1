// The closed vocabularies of a flow. Raw values are what the store keeps and what people read; they never change.

/// The program that wrote a line.
public enum ProxyKind: String, Sendable, CaseIterable, Codable {
  case envoy
  case nginxStream = "nginx-stream"
  case nginxHTTP = "nginx-http"
  case squid
}

/// The place of the proxy that wrote a line on the way from a workload to the outside.
public enum Role: String, Sendable, CaseIterable, Codable {
  /// A sidecar, on the client's side.
  case sidecar
  /// A sidecar, on the server's side.
  case inbound
  case gateway
  case sniProxy = "sni-proxy"
  case forwardProxy = "forward-proxy"
  case waypoint
  case unknown
}

/// How the traffic left at a hop.
public enum Path: String, Sendable, CaseIterable, Codable {
  case gateway
  case sniProxy = "sni-proxy"
  /// A declared (or, labelled as an assumption, a recognised) forward proxy.
  case proxy
  /// Declared by a ServiceEntry, but straight from the pod.
  case direct
  /// Undeclared, straight from the pod.
  case passthrough
  /// Stayed in the mesh.
  case `internal`
  /// Nothing left.
  case none
  case unknown
}

/// How a flow ended.
public enum OutcomeKind: String, Sendable, CaseIterable, Codable {
  case ok
  /// A policy said no.
  case blocked
  /// The destination did not work.
  case failed
  case timeout
  case clientGone = "client-gone"
  case meshFault = "mesh-fault"
  /// Squid's 407: a normal first step, not a block.
  case challenge
  /// Probes and health checks.
  case noise
}

/// The way in which a flow went around the gateway.
public enum Bypass: String, Sendable, CaseIterable, Codable {
  case passthrough
  case directServiceEntry = "direct-service-entry"
  case noSidecar = "no-sidecar"
  case sniProxyDirect = "sni-proxy-direct"
  case squidDirect = "squid-direct"
}

/// What a bypass went around.
public enum BypassedHop: String, Sendable, CaseIterable, Codable {
  case sidecar
  case gateway
}

/// Why a proxy's client counts as having come around a hop: what another line than the proxy's own proves.
public enum BypassReason: String, Sendable, CaseIterable, Codable {
  /// An inventory says that the client has no sidecar, or is no pod of the mesh.
  case clientHasNoSidecar = "client-has-no-sidecar"
  /// The log of the client's own sidecar was read past the flow and does not hold it.
  case clientSkippedItsSidecar = "client-skipped-its-sidecar"
  /// The hop before is a sidecar, and should have been a gateway.
  case clientSkippedTheGateway = "client-skipped-the-gateway"

  /// Row id in the store's table `bypass_reason`.
  public var number: Int64 { Int64(BypassReason.allCases.firstIndex(of: self)! + 1) }
}

/// How much a finding matters; also the exit code of `gatewatch alert`.
public enum Severity: String, Sendable, CaseIterable, Codable {
  case info
  case warning
  case critical
}

/// What the relation of the addresses in one line says about the hop, before any policy is asked.
///
/// Envoy's four addresses: UL = `UPSTREAM_LOCAL_ADDRESS`, DL = `DOWNSTREAM_LOCAL_ADDRESS`,
/// DR = `DOWNSTREAM_REMOTE_ADDRESS`, UH = `UPSTREAM_HOST`.
public enum HopShape: String, Sendable, CaseIterable, Codable {
  /// UL = DR and DL is another address: a sidecar sending out; DL is what the workload dialled, UL the pod.
  case outbound
  /// DR was taken from `X-Forwarded-For` (port 0) and DL is not UL: a sidecar sending out; the pod is UL.
  case outboundForwarded = "outbound-forwarded"
  /// Cluster `inbound|...` or UL `127.0.0.6`/`::6`: the server's side.
  case inbound
  /// UL = DL: a gateway or stand-alone proxy; the client is DR, the proxy's own address DL.
  case gateway
  /// UL and UH on loopback: a gateway that feeds a proxy in its own pod; the proxy's own address is DL.
  case gatewayToLoopback = "gateway-to-loopback"
  /// UL is missing: nothing was sent; whether DL is the proxy's own listener or the address dialled is open.
  case notSent = "not-sent"
  /// Cluster `inbound-vip|...` or waypoint plumbing.
  case waypoint
  /// `envoy://` addresses: no use for address rules.
  case internalListener = "internal-listener"
  /// The format logs no addresses (Envoy's default format).
  case unaddressed
  /// The line of an nginx or a Squid: the proxy is the server that the client named.
  case server
  /// A line of Squid's beside that in its access log (formats `referrer` and `useragent`): it tells who asked, and shows neither
  /// what became of it nor that the access log was read.
  case sideLog = "side-log"
  /// None of the above.
  case other
}

/// What is odd about one line; a flow carries any number of them.
public struct Warnings: OptionSet, Hashable, Sendable, Codable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// More than one way to split the line's columns: kept, counted, and never a reason to clear a finding.
  public static let ambiguousColumns = Warnings(rawValue: 1 << 0)
  /// A value was cut by the proxy (`:N`, Squid's 8 KB, a record ended by NUL).
  public static let truncated = Warnings(rawValue: 1 << 1)
  /// The SNI holds bytes no host name has, or Envoy marked it `invalid:`.
  public static let sniInvalid = Warnings(rawValue: 1 << 2)
  /// Two names of one request disagree (authority and SNI).
  public static let hostMismatch = Warnings(rawValue: 1 << 3)
  /// The client's address was taken from `X-Forwarded-For`: the client can have written it.
  public static let xffSource = Warnings(rawValue: 1 << 4)
  /// The authority or CONNECT target is an address, not a name.
  public static let hostIsAddress = Warnings(rawValue: 1 << 5)
  /// The line has no usable time; the wrapper's, or the time of the line before it, stands in.
  public static let timeAssumed = Warnings(rawValue: 1 << 6)
  /// A number did not fit or was malformed and was left out.
  public static let numberInvalid = Warnings(rawValue: 1 << 7)
  /// The logged time has no zone; UTC was assumed.
  public static let zoneAssumed = Warnings(rawValue: 1 << 8)
  /// A policy ended a TCP connection over which bytes had come back.
  public static let deniedLate = Warnings(rawValue: 1 << 9)
  /// The logged time leaves open the hour; or the day, and no wrapper whose time has a zone lends one.
  public static let dayAssumed = Warnings(rawValue: 1 << 10)

  /// Every warning with the word the contract column `warnings` uses. Order is the order of the list there.
  public static let names: [(warning: Warnings, name: String)] = [
    (.ambiguousColumns, "ambiguous-columns"), (.truncated, "truncated"), (.sniInvalid, "sni-invalid"),
    (.hostMismatch, "host-mismatch"), (.xffSource, "xff-source"), (.hostIsAddress, "host-is-address"),
    (.timeAssumed, "time-assumed"), (.numberInvalid, "number-invalid"), (.zoneAssumed, "zone-assumed"),
    (.deniedLate, "denied-late"), (.dayAssumed, "day-assumed"),
  ]
}
