internal import Flows

/// What the columns of an Envoy line mean; asked once per distinct key, so plain Swift will do.
enum EnvoyFacts {
  static func source(_ hop: EnvoyHop, _ fields: borrowing Fields, _ builder: RowBuilder, _ warnings: inout Warnings)
    -> Source?
  {
    var source = Source(log: builder.log, proxy: .envoy, shape: hop.shape)
    source.clientIsForwarded = hop.clientIsForwarded
    if !hop.client.ip.isEmpty {
      guard let ip = Addresses.canonical(hop.client.ip) ?? name(hop.client.ip) else { return nil }
      source.clientIP = ip
    }
    if !hop.proxyIP.isEmpty {
      guard let ip = Addresses.canonical(hop.proxyIP) ?? name(hop.proxyIP) else { return nil }
      source.proxyIP = ip
    }
    source.namespace = builder.namespace
    source.pod = builder.pod ?? fields.text(.hostname).map { bounded($0) }
    source.container = builder.container
    source.peer = fields.text(.peerURI).map { bounded($0) }
    if hop.clientIsForwarded { warnings.insert(.xffSource) }
    return source
  }

  /// Unix paths and `envoy://` addresses stand for themselves; anything else is no address.
  private static func name(_ slice: Slice) -> String? {
    Addresses.isEnvoyAddress(slice) && slice.count <= 256 ? slice.string : nil
  }

  /// Whether a line without a method tells of a request all the same: its protocol or its status is one of HTTP. A stream may end
  /// before its headers have come (a timeout, a client that left), and a format may have no column for the method. Of a
  /// TCP connection the protocol is `-` and the status 0.
  ///
  /// Source: envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage (`PROTOCOL`, `RESPONSE_CODE`).
  @inline(__always) static func isHTTPWithoutMethod(_ fields: borrowing Fields) -> Bool {
    fields.number(.status) > 0 || fields[.protocol].count > 4 && fields[.protocol].hasPrefix("HTTP")
  }

  /// Whether a request asks for a tunnel, whose time is that of a connection. Where the method is not logged, one that went well
  /// although it has no path is a tunnel: CONNECT alone needs none.
  ///
  /// Source: RFC 9110 section 9.3.6, RFC 9113 section 8.5.
  @inline(__always) static func isConnect(_ fields: borrowing Fields) -> Bool {
    let method = fields[.method]
    if !method.isMissing { return method.count == 7 && method.equals("CONNECT") }
    return fields[.path].isMissing && !fields[.path].isAbsent && 200...299 ~= fields.number(.status)
  }

  /// Whether a line that names no upstream may have had one all the same: the answer is the upstream's (`via_upstream`), or perhaps
  /// what a cache was told by it; bytes went over a TCP connection, either way; a connection was tried; or its key is not in the
  /// line, or has another name, and nothing else tells that nobody was asked. What comes back over TCP is an upstream's (what is no
  /// HTTP, where that is expected, Envoy itself answers, with a status, which makes it a request), and what the client sends is
  /// read once there is one.
  ///
  /// Source: envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage (both counts are of the downstream
  /// connection); `source/common/tcp_proxy/tcp_proxy.cc` (`initialize` disables reading until the upstream is connected).
  @inline(never) static func hidesUpstream(_ fields: borrowing Fields, isHTTP: Bool) -> Bool {
    if isHTTP {
      if fields[.responseDetails].equals("via_upstream") || mayBeAskedByCache(fields) { return true }
    } else if fields.number(.bytesSent) > 0 || fields.number(.bytesReceived) > 0 {
      return true
    }
    if isTried(fields, isHTTP: isHTTP) { return true }
    guard fields[.upstreamHost].isAbsent,
      fields[.upstreamRemote].isAbsent && fields[.upstreamHostIP].isAbsent || !wouldTellOfTries(fields, isHTTP: isHTTP)
    else { return false }
    return !tellsThatNobodyWasAsked(fields, isHTTP: isHTTP)
  }

  /// Whether the line has a column in which `isTried` would find that a connection was tried: where the host that was chosen is not
  /// logged, nothing else would show it.
  private static func wouldTellOfTries(_ fields: borrowing Fields, isHTTP: Bool) -> Bool {
    !fields[.responseFlags].isAbsent || isHTTP && !fields[.responseDetails].isAbsent
  }

  /// The second cache filter has a client of its own, whose upstream stands in no line; its flag tells of a hit and of a miss
  /// alike, and its details tell them apart.
  ///
  /// Source: Envoy `source/extensions/filters/http/cache_v2/cache_filter.cc` (`responseCodeDetailsFromStatus`).
  private static func mayBeAskedByCache(_ fields: borrowing Fields) -> Bool {
    let details = fields[.responseDetails]
    if details.hasPrefix("cache.insert_via_upstream") || details.hasPrefix("cache.aborted_") { return true }
    return !details.hasPrefix("cache.response_from_cache_filter")
      && hasFlag(fields[.responseFlags], "RFCF", "ResponseFromCacheFilter")
  }

  /// A connection was tried and not made (a pool that is full tries none). The host that was chosen is logged then, but not the
  /// other end of a connection, which may be all that a format has.
  ///
  /// Source: Envoy `source/common/router/upstream_request.cc` and `source/common/tcp_proxy/tcp_proxy.cc`
  /// (`setUpstreamRemoteAddress` when the pool is ready); `source/extensions/filters/network/local_ratelimit/local_ratelimit.cc`
  /// (`URX` before a cluster is chosen).
  private static func isTried(_ fields: borrowing Fields, isHTTP: Bool) -> Bool {
    let (flags, cluster, details) = (fields[.responseFlags], fields[.upstreamCluster], fields[.responseDetails])
    if hasFlag(flags, "UF", "UpstreamConnectionFailure") || !fields[.transportFailure].isMissing { return true }
    if details.hasPrefix("upstream_reset_"), details.firstRange(of: "{overflow") == nil { return true }
    return !isHTTP && fields[.upstreamHost].isAbsent && (cluster.isAbsent || !cluster.isMissing)
      && hasFlag(flags, "URX", "UpstreamRetryLimitExceeded")
  }

  private static func hasFlag(_ flags: Slice, _ short: StaticString, _ long: StaticString) -> Bool {
    var rest = flags
    while !rest.isEmpty {
      let end = rest.firstIndex(of: ASCII.comma) ?? rest.count
      let flag = rest.prefix(end).trimmingSpaces()
      if flag.equals(short) || flag.equals(long) { return true }
      rest = rest.dropFirst(min(end + 1, rest.count))
    }
    return false
  }

  /// A cluster without endpoints, a route with an answer of its own, or no route and no cluster at all. That there was no healthy
  /// host proves it of a connection alone: a request may have been tried before.
  ///
  /// Source: Istio `pilot/pkg/networking/core/cluster_builder.go` (`BlackHoleCluster` is STATIC and empty) and `httproute.go`
  /// (`block_all` answers 502); Envoy `source/common/router/router.cc` (`NR` and `NC` are set before a host is chosen).
  private static func tellsThatNobodyWasAsked(_ fields: borrowing Fields, isHTTP: Bool) -> Bool {
    let (cluster, flags, details) = (fields[.upstreamCluster], fields[.responseFlags], fields[.responseDetails])
    if cluster.equals("BlackHoleCluster") || cluster.equals("BlackHoleCluster;") { return true }
    if fields[.routeName].equals("block_all") || details.equals("direct_response") { return true }
    if flags.equals("NR") || flags.equals("NoRouteFound") || flags.equals("NC") || flags.equals("NoClusterFound") {
      return true
    }
    return !isHTTP && (flags.equals("UH") || flags.equals("NoHealthyUpstream"))
  }

  /// Where an address should stand there is one, or nothing.
  static func isPlausible(_ fields: borrowing Fields, _ layout: RowLayout) -> Bool {
    var hop = EnvoyHop()
    _ = hop.read(fields, layout)
    guard hop.isPlausible else { return false }
    for role in [FieldRole.upstreamHost, .upstreamRemote] {
      let upstream = Addresses.stripScheme(fields[role])
      guard upstream.isMissing || Addresses.endpoint(upstream) != nil || Addresses.isEnvoyAddress(upstream) else {
        return false
      }
    }
    return true
  }

  /// - Returns: false when the columns cannot be what they seem.
  static func destination(
    _ hop: EnvoyHop, _ fields: borrowing Fields, _ layout: RowLayout, isHTTP: Bool, isConnect: Bool,
    hidesUpstream: Bool,
    _ destination: inout Destination, _ warnings: inout Warnings
  ) -> Bool {
    destination.traffic = isHTTP ? .http : .tcp
    destination.logsUpstream = layout.logsUpstream || !hidesUpstream

    // The last word is that of the connection that was made: a host may have been chosen and another address reached.
    for role in [FieldRole.upstreamHost, .upstreamRemote] {
      let upstream = Addresses.stripScheme(fields[role])
      if upstream.isMissing { continue }
      if let endpoint = Addresses.endpoint(upstream) {
        (destination.upstream, destination.upstreamName) = (endpoint, nil)
      } else {
        guard Addresses.isEnvoyAddress(upstream) else { return false }
        if destination.upstream == nil { destination.upstreamName = bounded(upstream.string) }
      }
    }
    if !fields[.upstreamHostIP].isMissing, let ip = Addresses.canonical(fields[.upstreamHostIP]),
      ip != destination.upstream?.ip
    {
      let port = fields.number(.upstreamHostPort)
      destination.upstream = Endpoint(ip: ip, port: port > 0 && port <= 65535 ? UInt16(port) : 0)
      destination.upstreamName = nil
    }
    // Where the proxy dialled out, something was reached, whatever the line calls it.
    if destination.upstream == nil, destination.upstreamName == nil, hidesUpstream || hop.dialledOut {
      destination.logsUpstream = false
    }
    if !hop.dialled.ip.isEmpty {
      if let ip = Addresses.canonical(hop.dialled.ip) {
        destination.dialled = Endpoint(ip: ip, port: hop.dialled.port)
      } else if !Addresses.isEnvoyAddress(hop.dialled.ip) {
        return false
      }
    }

    // Istio 1.23+ ends the stat name with a semicolon (`EnableDelimitedStatsTagRegex`).
    var cluster = fields.text(.upstreamCluster)
    if cluster?.utf8.last == ASCII.semicolon { cluster?.unicodeScalars.removeLast() }
    if let cluster { destination.cluster = bounded(cluster) }
    let registryCluster = cluster.flatMap { RegistryCluster($0) }
    if let route = fields.text(.routeName) { destination.routeName = bounded(route) }

    let authority = HostName(fields, .authority)
    if let authority { destination.authority = bounded(authority.name) }
    let serverName = ServerName(fields)
    if let serverName {
      destination.sni = serverName.text
      if serverName.isMarkedInvalid || !serverName.isPlausible { warnings.insert(.sniInvalid) }
    }

    // Its listener is a proxy's of the pod, and no place that was wanted.
    let listensInPod = hop.shape == .outbound && Addresses.isLoopback(hop.dialled.ip)
    // A tunnel's target is a host and a port; what was dialled for it is a proxy's.
    destination.port =
      (isConnect ? authority?.port : nil)
      ?? port(hop.shape, destination, registryCluster?.port, authority?.port, listensInPod: listensInPod) ?? 0
    HostName.choose(
      for: &destination, authority: authority, serverName: serverName, cluster: registryCluster,
      // A sidecar's original destination names the place; a gateway's listener does not.
      address: [.gateway, .gatewayToLoopback, .inbound].contains(hop.shape) || listensInPod
        ? destination.upstream?.ip : destination.dialled?.ip ?? destination.upstream?.ip,
      &warnings)
    return true
  }

  private static func port(
    _ shape: HopShape, _ destination: Destination, _ declared: UInt16?, _ named: UInt16?, listensInPod: Bool
  ) -> UInt16? {
    let (upstream, dialled) = (destination.upstream?.port, destination.dialled?.port)
    return switch shape {
    case .gateway: upstream ?? named
    // DL may be a listener here; the cluster knows the port that was meant.
    case .notSent: declared ?? dialled ?? upstream ?? named
    case .outbound where listensInPod: named ?? declared ?? upstream
    case .gatewayToLoopback: dialled ?? named
    default: dialled ?? upstream ?? named
    }
  }

  /// A filter of a policy ended the connection.
  @inline(__always) static func isDenied(_ fields: borrowing Fields) -> Bool {
    let (details, termination, flags) = (
      fields[.responseDetails], fields[.terminationDetails], fields[.responseFlags]
    )
    if details.isMissing, termination.isMissing, flags.isMissing { return false }
    return isDenial(details) || isDenial(termination)
      || flags.stringIfPresent.map { ResponseFlags.short($0).split(separator: ",").contains("UAEX") } ?? false
  }

  private static func isDenial(_ details: Slice) -> Bool {
    details.hasPrefix("rbac_") || details.hasPrefix("ext_authz_")
  }

  static func outcome(_ fields: borrowing Fields, isHTTP: Bool, _ warnings: Warnings) -> Outcome {
    var outcome = Outcome(warnings: warnings)
    outcome.protocol = fields.text(.protocol).map { bounded($0) } ?? (isHTTP ? nil : "TCP")
    outcome.method = fields.text(.method).map { bounded($0) }
    let status = fields.number(.status)
    outcome.status = status == Numbers.missing ? nil : Int(truncatingIfNeeded: status)
    outcome.flags = fields.text(.responseFlags).map { bounded(ResponseFlags.short($0)) }
    outcome.details = fields.text(.responseDetails).map(withoutAddresses)
    outcome.termination = fields.text(.terminationDetails).map(withoutAddresses)
    outcome.failure = fields.text(.transportFailure).map(withoutAddresses)
    outcome.recordType = fields.text(.accessLogType).map { bounded($0) }
    outcome.pseudoTarget = fields.text(.grpcStatus).flatMap(GRPCStatus.number).map { Outcome.grpcPrefix + String($0) }
    return outcome
  }

  /// Longest text that a dictionary entry keeps of one column; clients write some of them.
  static let maxText = 512

  @inline(__always) static func bounded(_ text: String) -> String { text.utf8.count <= maxText ? text : cut(text) }

  @inline(never) private static func cut(_ text: String) -> String {
    String(decoding: text.utf8.prefix(maxText - 3), as: UTF8.self) + "..."
  }

  /// Details can hold the peer's address and port (`remote_address:[fdc4::1]:43671`), different on every line: they become `*`,
  /// so that thousands of failures are one outcome. The text itself stays in the log.
  static func withoutAddresses(_ text: String) -> String {
    guard let range = text.range(ofASCII: "remote_address:") else { return bounded(text) }
    let tail = text.utf8[range.upperBound...]
    let rest = tail.drop { $0 != ASCII.bar && $0 != ASCII.closeBrace && $0 != ASCII.comma }
    return bounded(String(text[..<range.upperBound]) + "*" + String(decoding: rest, as: UTF8.self))
  }
}

extension String {
  /// `range(of:)` for ASCII needles, without Foundation.
  func range(ofASCII needle: StaticString) -> Range<String.Index>? {
    let wanted = UnsafeBufferPointer(start: needle.utf8Start, count: needle.utf8CodeUnitCount)
    guard let first = wanted.first else { return nil }
    var index = utf8.startIndex
    while let found = utf8[index...].firstIndex(of: first) {
      if utf8[found...].starts(with: wanted) { return found..<utf8.index(found, offsetBy: wanted.count) }
      index = utf8.index(after: found)
    }
    return nil
  }
}
