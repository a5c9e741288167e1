internal import Flows
internal import Glibc

extension RowBuilder {
  /// One Envoy line: HTTP or TCP, sidecar or gateway, of any format that names its columns by command operators.
  ///
  /// `BYTES_RECEIVED` is what Envoy received from the client and sent on, so it is the flow's `sent`, and the other way round.
  @inline(__always)
  func buildEnvoy(
    _ fields: borrowing Fields, _ layout: RowLayout, _ lineWarnings: Warnings, line: Int64, _ batch: FlowBatch
  )
    -> Answer
  {
    var row = FlowRow()
    var warnings = lineWarnings
    let duration = fields.number(.duration)
    row.durationMs = Self.amount(duration, &warnings)
    guard let start = startTime(fields, row.durationMs, &warnings) else { return .noTime }
    row.startedAtMs = start
    row.sent = Self.amount(fields.number(.bytesSent), &warnings)
    row.received = Self.amount(fields.number(.bytesReceived), &warnings)
    row.line = line
    row.requestHash = RequestID.hash(fields[.requestID])
    if layout.lacksZone { warnings.insert(.zoneAssumed) }
    if layout.hasCuts { warnings.formUnion(cutWarnings(layout, fields)) }

    // Who sent it, and what the addresses say of the hop.
    let hop = EnvoyHop(fields, layout)
    guard hop.isPlausible else { return .notUnderstood }
    row.sourcePort = hop.client.port
    row.localPort = hop.local.port
    beginKey(hop.tag | UInt64(writer) << 32, 0)
    keySlice(hop.client.ip, at: 1)
    keySlice(hop.proxyIP, at: 2)
    var n = 3
    if layout.hasPeer {
      keySlice(fields[.peerURI], at: n)
      n += 1
    }
    if layout.hasHostname {
      keySlice(fields[.hostname], at: n)
      n += 1
    }
    row.source = sourceID(n, batch) { EnvoyFacts.source(hop, fields, self) }
    guard row.source >= 0 else { return .notUnderstood }

    // Where it went.
    let isHTTP = !fields[.method].isMissing
    let isTunnel = isHTTP && fields[.method].count == 7 && fields[.method].equals("CONNECT")
    beginKey(UInt64(layout.index) | UInt64(hop.shapeCode) << 32 | (isHTTP && !isTunnel ? 1 << 40 : 0), 1)
    n = keyRuns(layout.destinationRuns, fields, from: 1)
    row.destination = destinationID(n, batch) {
      EnvoyFacts.destination(hop, fields, layout, isHTTP: isHTTP && !isTunnel)
    }
    guard row.destination >= 0 else { return .notUnderstood }

    // How it went.
    warnings.formUnion(self.warnings(ofSource: row.source))
    warnings.formUnion(self.warnings(ofDestination: row.destination))
    beginKey(UInt64(layout.index) | UInt64(warnings.rawValue) << 32, 2)
    n = keyRuns(layout.outcomeRuns, fields, from: 1)
    row.outcome = outcomeID(n, batch) { EnvoyFacts.outcome(fields, isHTTP: isHTTP, warnings) }
    if isHTTP { row.pathTemplate = templateID(fields[.path], fields.escaping(of: .path), batch) }
    store(row, batch)
    return .stored
  }
}

/// The addresses of one Envoy line and the shape they make (see `HopShape`).
struct EnvoyHop {
  var client: (ip: Slice, port: UInt16)
  var local: (ip: Slice, port: UInt16)
  var dialled: (ip: Slice, port: UInt16)
  var proxyIP: Slice
  var shape: HopShape
  var shapeCode: UInt8
  var clientIsForwarded: Bool
  /// Every address column holds an address, a name Envoy prints in its place, or nothing.
  var isPlausible = true

  @inline(__always) var tag: UInt64 { UInt64(shapeCode) | (clientIsForwarded ? 1 << 8 : 0) }

  @inline(__always)
  init(_ fields: borrowing Fields, _ layout: RowLayout) {
    isPlausible = true
    var plausible = true
    @inline(__always) func address(_ whole: FieldRole, _ ip: FieldRole, _ port: FieldRole?) -> (ip: Slice, port: UInt16)
    {
      let slice = fields[whole]
      if slice.isMissing {
        if slice.isEmpty, !fields[ip].isEmpty {
          let number = port.map { fields.number($0) } ?? 0
          let value = fields[ip].isMissing ? .absent : fields[ip]
          return (value, number > 0 && number <= 65535 ? UInt16(number) : 0)
        }
        return (.absent, 0)
      }
      if let split = Addresses.split(slice) { return split }
      // A unix path, `envoy://...`, `@`: Envoy prints these too; anything else means that the columns are shifted.
      if !Addresses.isEnvoyAddress(slice) { plausible = false }
      return (slice, 0)
    }
    let direct = fields[.downstreamDirectRemote]
    let remote = address(.downstreamRemote, .downstreamRemoteIP, .downstreamRemotePort)
    local = address(.upstreamLocal, .upstreamLocalIP, .upstreamLocalPort)
    dialled = address(.downstreamLocal, .downstreamLocalIP, .downstreamLocalPort)
    client = remote
    clientIsForwarded = false
    if !direct.isMissing {
      // The real peer is logged too: it is the client; the other address came from a header when they differ.
      client = Addresses.split(direct) ?? (direct, 0)
    } else if !fields[.downstreamDirectRemoteIP].isMissing {
      client = (
        fields[.downstreamDirectRemoteIP], remote.ip.equals(fields[.downstreamDirectRemoteIP]) ? remote.port : 0
      )
    } else if !remote.ip.isEmpty, remote.port == 0, !fields[.downstreamRemote].isMissing {
      clientIsForwarded = true
    }
    isPlausible = plausible

    let cluster = fields[.upstreamCluster]
    let first = cluster.isEmpty ? 0 : cluster[0]
    if first == 0x69 || first == 0x49 || first == 0x63, let special = Self.special(cluster) {  // i, I, c
      shape = special
    } else if !layout.hasAddresses {
      shape = .unaddressed
    } else if Self.isInternal(local.ip) || Self.isInternal(dialled.ip) || Self.isInternal(client.ip) {
      shape = .internalListener
    } else if local.ip.isEmpty {
      shape = .notSent
    } else if local.ip.count < 10, local.ip.equals("127.0.0.6") || local.ip.equals("::6") {
      shape = .inbound
    } else if local.ip.equals(dialled.ip) {
      shape = .gateway
    } else if local.ip.equals(client.ip) {
      shape = .outbound
    } else if Addresses.isLoopback(local.ip) {
      shape = .gatewayToLoopback
    } else if clientIsForwarded || client.ip.isEmpty {
      shape = .outboundForwarded
    } else {
      shape = .other
    }
    switch shape {
    case .gateway, .gatewayToLoopback, .inbound, .waypoint: proxyIP = dialled.ip
    case .outbound, .outboundForwarded, .other: proxyIP = local.ip
    default: proxyIP = .absent
    }
    shapeCode = Self.code(shape)
  }

  @inline(never) private static func special(_ cluster: Slice) -> HopShape? {
    if cluster.hasPrefix("inbound|") || cluster.hasPrefix("inbound_.") || cluster.hasPrefix("InboundPassthroughCluster")
    {
      return .inbound
    }
    if cluster.hasPrefix("inbound-vip|") || cluster.hasPrefix("connect_terminate") { return .waypoint }
    return nil
  }

  @inline(__always) private static func isInternal(_ ip: Slice) -> Bool {
    ip.count > 7 && ip[0] == 0x65 && ip.hasPrefix("envoy://")
  }

  private static func code(_ shape: HopShape) -> UInt8 {
    switch shape {
    case .outbound: 1
    case .outboundForwarded: 2
    case .inbound: 3
    case .gateway: 4
    case .gatewayToLoopback: 5
    case .notSent: 6
    case .waypoint: 7
    case .internalListener: 8
    case .unaddressed: 9
    case .server: 10
    case .other: 11
    }
  }
}
