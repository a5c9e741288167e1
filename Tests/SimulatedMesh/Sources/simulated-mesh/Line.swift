/// An address with a port; address -1 stands for none.
struct Endpoint: Hashable {
  var address: Int32
  var port: UInt16

  static let none = Endpoint(address: -1, port: 0)

  init(_ address: Int32, _ port: UInt16) { (self.address, self.port) = (address, port) }
  private init(address: Int32, port: UInt16) { (self.address, self.port) = (address, port) }
}

/// One line of a log: what is written in it, and what it must be understood as.
///
/// Times are true ones, in milliseconds from the start of the simulation; the clock of the log's node falsifies them when
/// they are written.
struct Line {
  enum Shape: UInt8 { case http, tcp, nginx, nginxWithPorts, squid }

  /// Ends that Envoy has words for.
  enum Ending: UInt8 {
    case none, registryOnly, blackHole, rbacHTTP, rbacTCP, refused, timeout, clientGone, reset
  }

  enum Cluster: UInt8 {
    case none, host, gateway, sniGateway, sniProxy, squid, passthrough, blackHole, service, inbound
  }

  enum Bypass: UInt8 {
    case none, passthrough, directServiceEntry, noSidecar, sniProxyDirect, squidDirect

    var word: String? {
      switch self {
      case .none: nil
      case .passthrough: "passthrough"
      case .directServiceEntry: "direct-service-entry"
      case .noSidecar: "no-sidecar"
      case .sniProxyDirect: "sni-proxy-direct"
      case .squidDirect: "squid-direct"
      }
    }
  }

  /// What must be said of a bypass that takes more than the line itself to prove.
  enum Claim: UInt8 {
    /// The line itself tells, or there is nothing to tell.
    case none
    /// The policy says that the client has no sidecar.
    case declared
    /// The client's own log was read, and does not hold it.
    case skipped
    /// Nobody read the client's log: neither clear nor a bypass.
    case unproven
    /// What was read allows both: a bypass, or none that is proven.
    case open
  }

  enum Outcome: UInt8 {
    /// The line alone does not tell; not judged.
    case any
    case ok, blocked, failed, timeout, clientGone

    var word: String? {
      switch self {
      case .any: nil
      case .ok: "ok"
      case .blocked: "blocked"
      case .failed: "failed"
      case .timeout: "timeout"
      case .clientGone: "client-gone"
      }
    }
  }

  /// What becomes of a written line.
  enum Fate: UInt8 {
    case read, late, lost, uncollected
    /// Not written yet: the connection goes on.
    case open
  }

  var way: Int32
  var log: Int16
  var shape: Shape
  var start: Int64
  var duration: Int64
  /// When it reaches the file: proxies hold lines back for up to a second.
  var written: Int64 = 0
  /// Bytes from the client, and to it (Envoy's BYTES_RECEIVED and BYTES_SENT).
  var sent: Int64 = 0
  var received: Int64 = 0
  /// Both halves of the request id; 0 for none.
  var id: UInt64 = 0
  var host: Int32
  var page: Int32 = -1
  var status: Int16 = 0
  var ending = Ending.none
  var cluster: Cluster
  var fate = Fate.read

  var client: Endpoint
  var local: Endpoint
  var dialled: Endpoint
  var upstream: Endpoint
  /// X-Forwarded-For as written; -1 for none.
  var forwardedFor: Int32 = -1

  // Truth.
  var bypass = Bypass.none
  var claim = Claim.none
  var outcome = Outcome.ok
  /// The hop before, as a place in the list of lines; -1 for none.
  var before: Int32 = -1
  /// The hop before was logged, and what is logged tells that it is this one.
  var isJoinable = false
  /// One of several requests on a connection that an earlier hop logs as one: whether they are joined is open.
  var isKept = false
  /// No server name stands in it.
  var isNameless = false
  /// The client passed its sidecar, whose line was lost: no log tells that from a client that passed none.
  var isBereft = false

  var end: Int64 { start + duration }
  var isEnvoy: Bool { shape == .http || shape == .tcp }
  /// The first line beyond the client's pod: where a missing sidecar shows.
  var isAtTheEdge: Bool {
    cluster != .inbound && (log >= World.pods) && client.address != World.loopback
  }
  var isRead: Bool { fate == .read || fate == .late }
}
