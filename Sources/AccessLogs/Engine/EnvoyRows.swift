internal import Flows
internal import Glibc

extension RowBuilder {
  /// What an Envoy line says of its hop, found before the line's turn comes: the memory that its look-ups will touch is on its
  /// way while the lines around it are read.
  struct EnvoyAhead {
    var hop = EnvoyHop()
    var isHTTP = false
    var isConnect = false
    var hidesUpstream = false
  }

  /// Fills `ahead` (in place: it is some 100 bytes) and says what the keys of the line are.
  ///
  /// - Parameter lane: place of the line in its group.
  @inline(__always)
  func lookAhead(
    _ fields: borrowing Fields, _ layout: RowLayout, lane: Int, into ahead: UnsafeMutablePointer<EnvoyAhead>
  ) {
    let (client, proxy) = ahead.pointee.hop.read(fields, layout)
    let isHTTP = !fields[.method].isMissing || EnvoyFacts.isHTTPWithoutMethod(fields)
    let isConnect = isHTTP && EnvoyFacts.isConnect(fields)
    ahead.pointee.isHTTP = isHTTP
    ahead.pointee.isConnect = isConnect
    let hidesUpstream =
      fields[.upstreamHost].isMissing && fields[.upstreamRemote].isMissing && fields[.upstreamHostIP].isMissing
      && EnvoyFacts.hidesUpstream(fields, isHTTP: isHTTP)
    ahead.pointee.hidesUpstream = hidesUpstream
    fields[.client] = client
    fields[.proxy] = proxy
    begin(
      fields, lane: lane, source: ahead.pointee.hop.tag | UInt64(state.pointee.writer) << 32,
      destination: UInt64(layout.index) | UInt64(ahead.pointee.hop.shapeCode) << 32
        | (isHTTP && !isConnect ? 1 << 40 : 0) | (hidesUpstream ? 1 << 41 : 0) | (isConnect ? 1 << 42 : 0)
        | (state.pointee.isOfWorkload ? 1 << 43 : 0),
      path: isHTTP ? fields[.path] : .absent)
  }

  /// One Envoy line: HTTP or TCP, sidecar or gateway, of any format that names its columns by command operators.
  ///
  /// `BYTES_RECEIVED` is what Envoy received from the client and sent on, so it is the flow's `sent`, and the other way round.
  @inline(__always)
  func buildEnvoy(
    _ fields: borrowing Fields, lane: Int, _ ahead: UnsafeMutablePointer<EnvoyAhead>, _ layout: RowLayout,
    _ lineWarnings: Warnings, line: Int64, _ batch: FlowBatch
  ) -> Answer {
    var row = FlowRow()
    var warnings = lineWarnings
    let duration = fields.number(.duration)
    row.durationMs = Self.duration(duration, &warnings)
    guard let start = startTime(fields, row.durationMs, &warnings) else { return .noTime }
    row.startedAtMs = start
    row.sent = Self.bytes(fields.number(.bytesSent), &warnings)
    row.received = Self.bytes(fields.number(.bytesReceived), &warnings)
    row.line = line
    row.requestHash = RequestID.hash(fields[.requestID])
    row.startedAtMs = settledStart(row, fields, layout, &warnings)
    if layout.hasCuts { warnings.formUnion(cutWarnings(layout, fields)) }

    // Who sent it, and what the addresses say of the hop.
    guard ahead.pointee.hop.isPlausible else { return .notUnderstood }
    row.sourcePort = ahead.pointee.hop.client.port
    row.localPort = ahead.pointee.hop.local.port
    row.source = sourceID(fields, lane: lane, layout, batch) {
      EnvoyFacts.source(ahead.pointee.hop, fields, self, &$0)
    }
    guard row.source >= 0 else { return .notUnderstood }

    // Where it went.
    let isHTTP = ahead.pointee.isHTTP
    row.destination = destinationID(fields, lane: lane, layout, batch) {
      $0.isWorkloadsOutput = state.pointee.isOfWorkload
      return EnvoyFacts.destination(
        ahead.pointee.hop, fields, layout, isHTTP: isHTTP && !ahead.pointee.isConnect,
        isConnect: ahead.pointee.isConnect, hidesUpstream: ahead.pointee.hidesUpstream, &$0, &$1)
    }
    guard row.destination >= 0 else { return .notUnderstood }

    // How it went.
    warnings.formUnion(self.warnings(ofSource: row.source))
    warnings.formUnion(self.warnings(ofDestination: row.destination))
    // The client's first bytes are counted before the filter refuses them; what came back, it had let pass.
    if !isHTTP, row.received > 0, EnvoyFacts.isDenied(fields) { warnings.insert(.deniedLate) }
    row.outcome = outcomeID(
      fields, lane: lane, tag: UInt64(layout.index) | UInt64(warnings.rawValue) << 32, layout, batch
    ) { EnvoyFacts.outcome(fields, isHTTP: isHTTP, warnings) }
    if hasPath[lane] {
      row.pathTemplate = templateID(fields, lane: lane, layout, fields.escaping(of: .path), batch)
    }
    store(row)
    return .stored
  }
}

/// The addresses of one Envoy line and the shape they make (see `HopShape`).
struct EnvoyHop {
  var client: (ip: Slice, port: UInt16) = (.absent, 0)
  var local: (ip: Slice, port: UInt16) = (.absent, 0)
  var dialled: (ip: Slice, port: UInt16) = (.absent, 0)
  var proxyIP = Slice.absent
  var shape = HopShape.other
  var shapeCode: UInt8 = 0
  var clientIsForwarded = false
  /// Every address column holds an address, a name Envoy prints in its place, or nothing.
  var isPlausible = true

  /// The line shows the address that the proxy dialled out from.
  var dialledOut: Bool {
    switch shape {
    case .outbound, .outboundForwarded, .gateway, .gatewayToLoopback, .other: !local.ip.isEmpty
    default: false
    }
  }

  @inline(__always) var tag: UInt64 { UInt64(shapeCode) | (clientIsForwarded ? 1 << 8 : 0) }

  /// - Returns: the addresses of client and proxy, which need not wait for what is written to memory here.
  @inline(__always)
  mutating func read(_ fields: borrowing Fields, _ layout: RowLayout) -> (client: Slice, proxy: Slice) {
    if !layout.hasWholeAddresses || !readWhole(fields) { readAny(fields) }

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
    } else if Addresses.isLoopback(client.ip), Addresses.isLoopback(dialled.ip) {
      // A sidecar that is asked as a proxy over loopback: who asks is its own pod, whose address it dials out from.
      shape = .outbound
      client.ip = local.ip
    } else {
      shape = .other
    }
    let proxy =
      switch shape {
      case .gateway, .gatewayToLoopback, .inbound, .waypoint: dialled.ip
      case .outbound, .outboundForwarded, .other: local.ip
      default: Slice.absent
      }
    proxyIP = proxy
    shapeCode = Self.code(shape)
    return (client.ip, proxy)
  }

  /// The common case of `readAny`: three columns of address and port, and no more; false for anything else.
  @inline(__always) private mutating func readWhole(_ fields: borrowing Fields) -> Bool {
    guard let remote = Addresses.splitPlain(fields[.downstreamRemote]), remote.port != 0,
      let own = Addresses.splitPlain(fields[.downstreamLocal])
    else { return false }
    if fields[.upstreamLocal].isMissing {
      local = (.absent, 0)
    } else {
      guard let split = Addresses.splitPlain(fields[.upstreamLocal]) else { return false }
      local = split
    }
    client = remote
    dialled = own
    clientIsForwarded = false
    isPlausible = true
    return true
  }

  @inline(never) private mutating func readAny(_ fields: borrowing Fields) {
    var plausible = true
    let direct = fields[.downstreamDirectRemote]
    let remote = Self.address(fields, .downstreamRemote, .downstreamRemoteIP, .downstreamRemotePort, &plausible)
    local = Self.address(fields, .upstreamLocal, .upstreamLocalIP, .upstreamLocalPort, &plausible)
    dialled = Self.address(fields, .downstreamLocal, .downstreamLocalIP, .downstreamLocalPort, &plausible)
    client = remote
    clientIsForwarded = false
    if !direct.isMissing {
      // The real peer is logged too: it is the client; the other address came from a header when they differ.
      client = Addresses.split(direct) ?? (direct, 0)
    } else if !fields[.downstreamDirectRemoteIP].isMissing {
      let port = fields.number(.downstreamDirectRemotePort)
      client = (
        fields[.downstreamDirectRemoteIP],
        port > 0 && port <= 65535
          ? UInt16(port) : remote.ip.equals(fields[.downstreamDirectRemoteIP]) ? remote.port : 0
      )
    } else if !remote.ip.isEmpty, remote.port == 0 {
      // An address of a header has the port 0. Where no port is logged, a sidecar's own address tells: what its pod sends comes from
      // there. (A gateway's is the one that was dialled; it takes no address from a header, unless it is told to.)
      let showsPort = !fields[.downstreamRemote].isMissing || fields.number(.downstreamRemotePort) == 0
      clientIsForwarded =
        showsPort
        || !local.ip.isEmpty && !Addresses.isLoopback(local.ip) && !remote.ip.equals(local.ip)
          && !dialled.ip.equals(local.ip)
    }
    isPlausible = plausible
  }

  /// The address in a column of its own, or in one for the address and one for the port.
  private static func address(
    _ fields: borrowing Fields, _ whole: FieldRole, _ ip: FieldRole, _ port: FieldRole, _ isPlausible: inout Bool
  ) -> (ip: Slice, port: UInt16) {
    let slice = fields[whole]
    if slice.isMissing {
      if slice.isEmpty, !fields[ip].isEmpty {
        let number = fields.number(port)
        let value = fields[ip].isMissing ? .absent : fields[ip]
        return (value, number > 0 && number <= 65535 ? UInt16(number) : 0)
      }
      return (.absent, 0)
    }
    if let split = Addresses.split(slice) { return split }
    // A unix path, `envoy://...`, `@`: Envoy prints these too; anything else means that the columns are shifted.
    if !Addresses.isEnvoyAddress(slice) { isPlausible = false }
    return (slice, 0)
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
    case .sideLog: 12
    }
  }
}
