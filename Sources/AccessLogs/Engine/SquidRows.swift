internal import Flows

extension RowBuilder {
  /// Says what the keys of a Squid line are.
  @inline(__always)
  func lookAheadSquid(_ fields: borrowing Fields, _ layout: RowLayout, lane: Int, isCut: Bool) {
    fields[.client] =
      fields[.downstreamRemoteIP].isEmpty ? fields[.downstreamDirectRemoteIP] : fields[.downstreamRemoteIP]
    let target = SquidTarget(fields)
    fields[.origin] = target.origin
    fields[.pseudo] = target.pseudo
    begin(
      fields, lane: lane,
      source: 0x73 | (layout.isSideLog ? 1 << 16 : 0) | UInt64(state.pointee.writer) << 32,
      destination: UInt64(layout.index) | 0x73 << 32 | (target.isConnect ? 1 << 40 : 0) | (isCut ? 1 << 41 : 0)
        | (SquidFacts.isDialledByClient(fields[.squidHierarchy]) ? 1 << 42 : 0),
      path: target.path.isEmpty ? fields[.path] : target.path)
  }

  /// One Squid line. Squid logs the end of a transaction; the start is the end less `%tr`.
  @inline(__always)
  func buildSquid(
    _ fields: borrowing Fields, lane: Int, _ layout: RowLayout, _ lineWarnings: Warnings, line: Int64,
    _ batch: FlowBatch
  ) -> Answer {
    if layout.isSideLog, !SquidFacts.isOfSideLog(fields) { return .notUnderstood }
    var warnings = lineWarnings
    // Where a name goes on like the columns behind it, nobody can tell where it ends.
    if layout.hasUser, !fields[.user].isMissing, SquidWords.holdsHierarchy(fields[.user]) {
      warnings.insert(.ambiguousColumns)
    }
    var row = FlowRow()
    row.durationMs = Self.duration(fields.number(.duration), &warnings)
    guard let start = startTime(fields, row.durationMs, &warnings) else { return .noTime }
    row.startedAtMs = start
    row.sent = Self.bytes(fields.number(.bytesSent), &warnings)
    row.received = Self.bytes(fields.number(.bytesReceived), &warnings)
    row.line = line
    row.requestHash = RequestID.hash(fields[.requestID])
    row.startedAtMs = settledStart(row, fields, layout, &warnings)

    let clientPort = fields.number(.downstreamRemotePort)
    row.sourcePort = clientPort > 0 && clientPort <= 65535 ? UInt16(clientPort) : 0
    let localPort = fields.number(.upstreamLocalPort)
    row.localPort = localPort > 0 && localPort <= 65535 ? UInt16(localPort) : 0
    row.source = sourceID(fields, lane: lane, layout, batch) { _ in
      SquidFacts.source(fields[.client], fields, isSideLog: layout.isSideLog, self)
    }
    guard row.source >= 0 else { return .notUnderstood }

    row.destination = destinationID(fields, lane: lane, layout, batch) {
      // The columns behind the cut are unknown, not empty.
      SquidFacts.destination(
        SquidTarget(fields), fields, logsUpstream: layout.logsUpstream && !lineWarnings.contains(.truncated), &$0, &$1)
      return true
    }

    warnings.formUnion(self.warnings(ofDestination: row.destination))
    row.outcome = outcomeID(
      fields, lane: lane, tag: UInt64(layout.index) | UInt64(warnings.rawValue) << 32, layout, batch
    ) { SquidFacts.outcome(SquidTarget(fields), fields, isSideLog: layout.isSideLog, warnings) }
    guard row.outcome >= 0 else { return .notUnderstood }
    if hasPath[lane] {
      row.pathTemplate = templateID(fields, lane: lane, layout, fields.escaping(of: .url), batch)
    }
    store(row)
    return .stored
  }
}

/// Squid's `%ru`, cut at its borders: `host:port` of a CONNECT, an absolute URL, a bare path (intercepted), or a pseudo URL.
struct SquidTarget {
  /// `scheme://host:port` or `host:port`; absent for pseudo URLs and bare paths.
  var origin = Slice.absent
  var path = Slice.absent
  /// What follows `error:` in a pseudo URL.
  var pseudo = Slice.absent
  var isConnect: Bool

  @inline(__always) init(_ fields: borrowing Fields) {
    self.init(fields[.url], isConnect: fields[.method].equals("CONNECT"))
  }

  @inline(__always)
  init(_ url: Slice, isConnect: Bool) {
    self.isConnect = isConnect
    if url.isMissing { return }
    // A host may have that name, too: no tunnel leads to anything but a port.
    if url[0] == 0x65, url.hasPrefix("error:"), !isConnect || !Self.isPort(url.dropFirst(6)) {
      pseudo = url.dropFirst(6)
      return
    }
    if isConnect {
      origin = url
      return
    }
    if url[0] == ASCII.slash {
      path = url
      return
    }
    // `http://` or `https://`, as nearly all have it.
    let start = Scan.load(url.start)
    var host = url.start
    if start & 0x00FF_FFFF_FFFF_FFFF == Self.http, url.count >= 7 {
      host += 7
    } else if start == Self.https, url.count >= 8 {
      host += 8
    } else {
      split(url)
      return
    }
    let slash = Scan.findEither(Self.hostEnds, from: host, to: url.end)
    guard slash == url.end || slash.pointee == ASCII.slash else {
      split(url)
      return
    }
    origin = Slice(url.start, slash)
    path = Slice(slash, url.end)
  }

  private static func isPort(_ text: Slice) -> Bool {
    !text.isMissing && (0..<text.count).allSatisfy { ASCII.isDigit(text[$0]) }
  }

  /// Any scheme, and a query right behind the host or not: the slow twin of what `init` does where it can.
  @inline(never) private mutating func split(_ url: Slice) {
    let colon = Scan.find(ASCII.colon, from: url.start, to: url.end)
    if url.end - colon >= 3, colon[1] == ASCII.slash, colon[2] == ASCII.slash {
      let slash = Scan.find(ASCII.slash, from: colon + 3, to: url.end)
      origin = Slice(url.start, slash)
      path = Slice(slash, url.end)
      if let query = origin.firstIndex(of: ASCII.question) { origin = origin.prefix(query) }
    } else {
      origin = url
    }
  }

  private static let http: UInt64 = 0x002F_2F3A_7074_7468
  private static let https: UInt64 = 0x2F2F_3A73_7074_7468
  private static let hostEnds = (SIMD16<UInt8>(repeating: ASCII.slash), SIMD16<UInt8>(repeating: ASCII.question))
}

enum SquidFacts {
  static func source(
    _ client: Slice, _ fields: borrowing Fields, isSideLog: Bool, _ builder: RowBuilder
  ) -> Source? {
    var source = Source(log: builder.log, proxy: .squid, shape: isSideLog ? .sideLog : .server)
    if !client.isMissing {
      // `%>a` can be a resolved name (`%>A`, log_fqdn); a name is kept, white space or a mere number means a shifted column.
      guard SquidWords.isClient(client) else { return nil }
      guard let ip = Addresses.canonical(client) ?? (HostName.isPlausible(client.string) ? client.string : nil) else {
        return nil
      }
      source.clientIP = ip
    }
    let own = fields[.downstreamLocalIP].isMissing ? fields[.upstreamLocalIP] : fields[.downstreamLocalIP]
    if !own.isMissing { source.proxyIP = Addresses.canonical(own) }
    source.namespace = builder.namespace
    source.pod = builder.pod
    source.container = builder.container
    return source
  }

  static func destination(
    _ target: SquidTarget, _ fields: borrowing Fields, logsUpstream: Bool,
    _ destination: inout Destination, _ warnings: inout Warnings
  ) {
    destination.traffic = target.isConnect ? .tcp : .http
    destination.logsUpstream = logsUpstream
    let peer = fields[.upstreamHostIP].isEmpty ? fields[.upstreamHost] : fields[.upstreamHostIP]
    if !peer.isMissing {
      if let ip = Addresses.canonical(peer) {
        let port = fields.number(.upstreamHostPort)
        destination.upstream = Endpoint(ip: ip, port: port > 0 && port <= 65535 ? UInt16(port) : 0)
      } else if let endpoint = Addresses.endpoint(peer) {
        destination.upstream = endpoint
      } else {
        // A cache peer's name (`DEFAULT_PARENT/proxy.example`).
        destination.upstreamName = EnvoyFacts.bounded(peer.string)
      }
    }
    var authority: HostName?
    if !target.origin.isMissing {
      let (name, defaultPort) = host(ofOrigin: target.origin, fields.escaping(of: .url))
      authority = name
      destination.port = name.port ?? defaultPort ?? 0
    } else {
      authority = HostName(fields, .authority)
    }
    let targetPort = fields.number(.targetPort)
    if destination.port == 0, targetPort > 0, targetPort <= 65535 { destination.port = UInt16(targetPort) }
    if destination.port == 0, let port = destination.upstream?.port { destination.port = port }
    if let authority { destination.authority = EnvoyFacts.bounded(authority.name) }
    let serverName = ServerName(fields)
    if let serverName {
      destination.sni = serverName.text
      if !serverName.isPlausible { warnings.insert(.sniInvalid) }
    }
    HostName.choose(
      for: &destination, authority: authority, serverName: serverName, cluster: nil,
      address: destination.upstream?.ip, &warnings)
    if destination.hostOrigin == .authority, !isDialledByClient(fields[.squidHierarchy]) {
      destination.hostOrigin = .target
    }
  }

  /// Squid went to the address that its client had dialled, or stayed on a connection that it had: the name in the request is
  /// the client's word alone. Source: Squid `src/hier_code.h`; `client_dst_passthru` in
  /// `src/cf.data.pre`.
  @inline(__always) static func isDialledByClient(_ hierarchy: Slice) -> Bool {
    if hierarchy.isMissing || hierarchy[0] != 0x4F && hierarchy[0] != 0x50 { return false }
    return hierarchy.hasPrefix("ORIGINAL_DST") || hierarchy.hasPrefix("PINNED")
  }

  /// The host of a target, and the port that its scheme stands for.
  static func host(ofOrigin origin: Slice, _ escaping: FormatField.Escaping)
    -> (host: HostName, defaultPort: UInt16?)
  {
    if origin.hasPrefix("http://"), let host = HostName(plain: origin.dropFirst(7)) { return (host, 80) }
    // `host:port`, as of a CONNECT.
    if let host = HostName(plain: origin) { return (host, nil) }
    return hostSlowly(ofOrigin: origin, escaping)
  }

  /// By taking it apart: the slow twin.
  static func hostSlowly(ofOrigin origin: Slice, _ escaping: FormatField.Escaping)
    -> (host: HostName, defaultPort: UInt16?)
  {
    var text = Unescape.string(origin, escaping)
    var defaultPort: UInt16?
    if let scheme = text.range(ofASCII: "://") {
      switch String(text[..<scheme.lowerBound]).asciiLowercased {
      case "http": defaultPort = 80
      case "https": defaultPort = 443
      case "ftp": defaultPort = 21
      default: defaultPort = nil
      }
      text = String(text[scheme.upperBound...])
    }
    return (HostName(slowly: text), defaultPort)
  }

  /// Whether the columns hold what those of a side log hold.
  static func isOfSideLog(_ fields: borrowing Fields) -> Bool {
    SquidWords.fits(fields[.url], .url, isSideLog: true)
      && SquidWords.fits(fields[.referer], .referer, isSideLog: true)
      && SquidWords.fits(fields[.userAgent], .userAgent, isSideLog: true)
  }

  /// nil where Squid's own words are not in their columns.
  static func outcome(
    _ target: SquidTarget, _ fields: borrowing Fields, isSideLog: Bool, _ warnings: Warnings
  ) -> Outcome? {
    guard SquidWords.fits(fields[.squidTag], .squidTag, isSideLog: isSideLog),
      SquidWords.fits(fields[.squidHierarchy], .squidHierarchy, isSideLog: isSideLog)
    else { return nil }
    var outcome = Outcome(warnings: warnings)
    let hierarchy = fields[.squidHierarchy]
    // Perhaps a newer Squid's, perhaps another column.
    if !hierarchy.isMissing, !SquidWords.isHierarchy(hierarchy) { outcome.warnings.insert(.ambiguousColumns) }
    if isSideLog { outcome.recordType = Outcome.sideLog }
    outcome.protocol = fields.text(.protocol).map(EnvoyFacts.bounded) ?? (target.isConnect ? "TCP" : nil)
    outcome.method = fields.text(.method).map(EnvoyFacts.bounded)
    let status = fields.number(.status)
    outcome.status = status == Numbers.missing ? nil : Int(truncatingIfNeeded: status)
    outcome.flags = fields.text(.squidTag).map(EnvoyFacts.bounded)
    outcome.details = fields.text(.squidHierarchy).map(EnvoyFacts.bounded)
    outcome.termination = fields.text(.squidError).map(EnvoyFacts.bounded)
    outcome.pseudoTarget = target.pseudo.stringIfPresent.map(EnvoyFacts.bounded)
    return outcome
  }
}
