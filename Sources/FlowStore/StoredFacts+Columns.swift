internal import Flows

// The columns of a dictionary and how a fact fills them; the judging half reads them back in the same order.

extension Source {
  static let storedColumns = [
    "log", "proxy", "shape", "client_ip", "client_forwarded", "proxy_ip", "namespace", "pod", "container", "peer",
  ]

  func storedValues(log: Int64) -> [Value] {
    [
      .integer(log), .text(proxy.rawValue), .text(shape.rawValue), Value(clientIP), .integer(clientIsForwarded ? 1 : 0),
      Value(proxyIP), Value(namespace), Value(pod), Value(container), Value(peer),
    ]
  }

  /// nil when the row holds a word this program does not know.
  init?(_ row: Statement, from first: Int32) {
    guard let proxy = row.text(first + 1).flatMap(ProxyKind.init(rawValue:)),
      let shape = row.text(first + 2).flatMap(HopShape.init(rawValue:))
    else { return nil }
    self.init(
      log: row.int(first), proxy: proxy, shape: shape, clientIP: row.text(first + 3),
      clientIsForwarded: row.int(first + 4) != 0, proxyIP: row.text(first + 5), namespace: row.text(first + 6),
      pod: row.text(first + 7), container: row.text(first + 8), peer: row.text(first + 9))
  }
}

extension Destination {
  static let storedColumns = [
    "host", "host_origin", "port", "traffic", "authority", "sni", "cluster", "route_name", "upstream_ip",
    "upstream_port", "upstream_name", "dialled_ip", "dialled_port", "logs_upstream",
  ]

  var storedValues: [Value] {
    [
      Value(host), Value(hostOrigin?.rawValue), .integer(Int64(port)), .text(traffic.rawValue), Value(authority),
      Value(sni), Value(cluster), Value(routeName), Value(upstream?.ip), Value(upstream.map { Int64($0.port) }),
      Value(upstreamName), Value(dialled?.ip), Value(dialled.map { Int64($0.port) }),
      .integer((logsUpstream ? Stored.logsUpstream : 0) | (isWorkloadsOutput ? Stored.isWorkloadsOutput : 0)),
    ]
  }

  /// Bits of `logs_upstream`.
  private enum Stored {
    static let logsUpstream: Int64 = 1
    static let isWorkloadsOutput: Int64 = 2
  }

  /// - Parameter previous: mostly of the same cluster.
  init?(_ row: Statement, from first: Int32, behind previous: Destination? = nil) {
    guard let traffic = row.text(first + 3).flatMap(Traffic.init(rawValue:)) else { return nil }
    func endpoint(_ column: Int32) -> Endpoint? {
      row.text(column).map { Endpoint(ip: $0, port: UInt16(truncatingIfNeeded: row.int(column + 1))) }
    }
    self.init(
      host: row.text(first), hostOrigin: row.text(first + 1).flatMap(HostOrigin.init(rawValue:)),
      port: UInt16(truncatingIfNeeded: row.int(first + 2)), traffic: traffic, authority: row.text(first + 4),
      sni: row.text(first + 5), cluster: row.text(first + 6, perhaps: previous?.cluster),
      routeName: row.text(first + 7),
      upstream: endpoint(first + 8), upstreamName: row.text(first + 10), dialled: endpoint(first + 11),
      logsUpstream: row.int(first + 13) & Stored.logsUpstream != 0)
    isWorkloadsOutput = row.int(first + 13) & Stored.isWorkloadsOutput != 0
  }
}

extension Outcome {
  static let storedColumns = [
    "protocol", "method", "status", "flags", "details", "termination", "failure", "record_type", "pseudo_target",
    "warnings",
  ]

  var storedValues: [Value] {
    [
      Value(`protocol`), Value(method), Value(status), Value(flags), Value(details), Value(termination),
      Value(failure), Value(recordType), Value(pseudoTarget), .integer(Int64(warnings.rawValue)),
    ]
  }

  init(_ row: Statement, from first: Int32) {
    self.init(
      protocol: row.text(first), method: row.text(first + 1),
      status: row.optionalInt(first + 2).map { Int(truncatingIfNeeded: $0) }, flags: row.text(first + 3),
      details: row.text(first + 4), termination: row.text(first + 5), failure: row.text(first + 6),
      recordType: row.text(first + 7), pseudoTarget: row.text(first + 8),
      warnings: Warnings(rawValue: UInt32(truncatingIfNeeded: row.int(first + 9))))
  }
}
