internal import Flows

extension RowBuilder {
  /// Says what the keys of an nginx line are.
  @inline(__always) func lookAheadNginx(_ fields: borrowing Fields, _ layout: RowLayout, lane: Int) {
    let isHTTP = layout.dialect == .nginxHTTP
    fields[.client] = nginxClient(fields)
    var path = Slice.absent
    if isHTTP {
      let request = NginxRequest(fields)
      fields[.origin] = request.origin
      fields[.requestMethod] = request.method
      fields[.requestProtocol] = request.protocol
      path = request.path
    }
    begin(
      fields, lane: lane, source: 0x6E | (isHTTP ? 1 << 8 : 0) | UInt64(state.pointee.writer) << 32,
      destination: UInt64(layout.index) | 0x6E << 32, path: path)
  }

  /// One nginx line, stream or http. nginx logs the end; the start is the end less the session's time.
  @inline(__always)
  func buildNginx(
    _ fields: borrowing Fields, lane: Int, _ layout: RowLayout, _ lineWarnings: Warnings, line: Int64,
    _ batch: FlowBatch
  ) -> Answer {
    let isHTTP = layout.dialect == .nginxHTTP
    var warnings = lineWarnings
    var row = FlowRow()
    row.durationMs = Self.duration(fields.number(.duration), &warnings)
    guard let start = startTime(fields, row.durationMs, &warnings) else { return .noTime }
    row.startedAtMs = start
    row.sent = Self.bytes(fields.number(.bytesSent), &warnings)
    row.received = Self.bytes(fields.number(.bytesReceived), &warnings)
    row.line = line
    row.requestHash = RequestID.hash(fields[.requestID])
    row.startedAtMs = settledStart(row, fields, layout, &warnings)

    let port = nginxClientPort(fields)
    row.sourcePort = port > 0 && port <= 65535 ? UInt16(port) : 0
    let local = fields.number(.upstreamLocalPort)
    row.localPort = local > 0 && local <= 65535 ? UInt16(local) : 0
    row.source = sourceID(fields, lane: lane, layout, batch) {
      _ in NginxFacts.source(fields[.client], fields, self, isHTTP: isHTTP)
    }
    guard row.source >= 0 else { return .notUnderstood }

    row.destination = destinationID(fields, lane: lane, layout, batch) {
      NginxFacts.destination(fields, isHTTP ? NginxRequest(fields) : NginxRequest(), isHTTP: isHTTP, layout, &$0, &$1)
      return true
    }

    warnings.formUnion(self.warnings(ofDestination: row.destination))
    // A session without a name, a byte either way and an upstream is somebody who tried the port.
    let hasUpstream = !fields[.upstreamHost].isMissing
    let isProbe = !isHTTP && row.sent == 0 && row.received == 0 && fields[.serverName].isMissing && !hasUpstream
    // Whatever status the client got: nginx had asked somebody by then. A stream's bytes are another's as a rule.
    let isPassedOn = fields.number(.status) >= 400 && (hasUpstream || !isHTTP && row.received > 0)
    row.outcome = outcomeID(
      fields, lane: lane,
      tag: UInt64(layout.index) | (isProbe ? 1 << 31 : 0) | (isPassedOn ? 1 << 30 : 0) | UInt64(warnings.rawValue)
        << 32,
      layout, batch
    ) {
      NginxFacts.outcome(
        fields, isHTTP ? NginxRequest(fields) : NginxRequest(), isHTTP: isHTTP,
        sign: isProbe ? Outcome.probe : isPassedOn ? Outcome.passedOn : nil, warnings)
    }
    if hasPath[lane] {
      row.pathTemplate = templateID(fields, lane: lane, layout, fields.escaping(of: .requestLine), batch)
    }
    store(row)
    return .stored
  }

  /// Who connected, where that is logged: what a header says of the client is whatever the client wrote.
  @inline(__always) private func nginxClient(_ fields: borrowing Fields) -> Slice {
    let direct = fields[.downstreamDirectRemoteIP]
    if !direct.isMissing { return direct }
    let remote = fields[.downstreamRemoteIP]
    if remote.isMissing, let split = Addresses.split(fields[.downstreamRemote]) { return split.ip }
    return remote
  }

  /// The port of the same connection. A header that gives another address gives another port, too.
  @inline(__always) private func nginxClientPort(_ fields: borrowing Fields) -> Int64 {
    let direct = fields[.downstreamDirectRemoteIP]
    let remote = fields[.downstreamRemoteIP]
    if !direct.isMissing {
      let port = fields.number(.downstreamDirectRemotePort)
      return port == Numbers.missing && remote.equals(direct) ? fields.number(.downstreamRemotePort) : port
    }
    if remote.isMissing, let split = Addresses.split(fields[.downstreamRemote]) { return Int64(split.port) }
    return fields.number(.downstreamRemotePort)
  }
}

/// `GET /x HTTP/1.1` cut into its parts; an absolute target (a client that uses nginx as a proxy) has an origin in front.
struct NginxRequest {
  var method = Slice.absent
  var target = Slice.absent
  var `protocol` = Slice.absent
  /// `http://host:port` of an absolute target.
  var origin = Slice.absent
  var path = Slice.absent

  init() {}

  /// The request of an HTTP line, in one column or in several.
  init(_ fields: borrowing Fields) {
    if !fields[.requestLine].isEmpty {
      self.init(fields[.requestLine])
    } else {
      self.init()
      method = fields[.method]
      target = fields[.path]
      path = fields[.path]
      self.protocol = fields[.protocol]
    }
  }

  init(_ line: Slice) {
    // A TLS handshake sent to a plain port, or nothing at all: bytes that are no request stay what they are.
    guard let space = line.firstIndex(of: ASCII.space) else {
      path = .absent
      return
    }
    method = line.prefix(space)
    var rest = line.dropFirst(space + 1)
    if let last = rest.lastIndex(of: ASCII.space), rest.dropFirst(last + 1).hasPrefix("HTTP/") {
      self.protocol = rest.dropFirst(last + 1)
      rest = rest.prefix(last)
    }
    target = rest
    path = rest
    if !rest.isEmpty, rest[0] != ASCII.slash, let scheme = rest.firstRange(of: "://") {
      let afterScheme = rest.dropFirst(scheme.upperBound)
      let slash = afterScheme.firstIndex(of: ASCII.slash) ?? afterScheme.count
      origin = Slice(rest.start, afterScheme.start + slash)
      path = Slice(origin.end, rest.end)
    } else if method.equals("CONNECT") {
      origin = rest
      path = .absent
    }
  }
}

enum NginxFacts {
  static func source(_ client: Slice, _ fields: borrowing Fields, _ builder: RowBuilder, isHTTP: Bool) -> Source? {
    var source = Source(log: builder.log, proxy: isHTTP ? .nginxHTTP : .nginxStream, shape: .server)
    if !client.isMissing {
      // nginx prints `unix:` for clients on a local socket.
      if let ip = Addresses.canonical(client) {
        source.clientIP = ip
      } else {
        guard client.hasPrefix("unix:") else { return nil }
        source.clientIP = "unix:"
      }
    }
    if !fields[.downstreamLocalIP].isMissing { source.proxyIP = Addresses.canonical(fields[.downstreamLocalIP]) }
    source.namespace = builder.namespace
    source.pod = builder.pod ?? fields.text(.hostname)
    source.container = builder.container
    return source
  }

  static func destination(
    _ fields: borrowing Fields, _ request: NginxRequest, isHTTP: Bool, _ layout: RowLayout,
    _ destination: inout Destination, _ warnings: inout Warnings
  ) {
    destination.traffic = isHTTP && !request.method.equals("CONNECT") ? .http : .tcp
    destination.logsUpstream = layout.logsUpstream
    if let upstream = lastOfList(fields[.upstreamHost]) {
      if let endpoint = Addresses.endpoint(upstream) {
        destination.upstream = endpoint
      } else {
        destination.upstreamName = EnvoyFacts.bounded(upstream.string)
      }
    }
    let serverName = ServerName(fields)
    if let serverName {
      destination.sni = serverName.text
      if !serverName.isPlausible { warnings.insert(.sniInvalid) }
    }
    var authority: HostName?
    if !request.origin.isMissing {
      authority = host(ofOrigin: request.origin)
    } else {
      authority = HostName(fields, .authority)
    }
    if let authority { destination.authority = EnvoyFacts.bounded(authority.name) }
    let own = fields.number(.downstreamLocalPort)
    destination.port = destination.upstream?.port ?? authority?.port ?? 0
    if destination.port == 0, own > 0, own <= 65535, isHTTP { destination.port = UInt16(own) }
    HostName.choose(
      for: &destination, authority: authority, serverName: serverName, cluster: nil,
      address: destination.upstream?.ip, &warnings)
    if !request.origin.isMissing, destination.hostOrigin == .authority { destination.hostOrigin = .target }
  }

  /// The host of an absolute target, with the port that its scheme stands for when it names none.
  private static func host(ofOrigin origin: Slice) -> HostName {
    let scheme = origin.firstRange(of: "://")
    var host = HostName(authority: origin.dropFirst(scheme?.upperBound ?? 0), .raw)
    if host.port == nil, let scheme {
      host.port = origin.prefix(scheme.lowerBound).string.asciiLowercased == "https" ? 443 : 80
    }
    return host
  }

  /// nginx joins attempts with `, ` and groups with ` : `; the last attempt is the one that answered.
  static func lastOfList(_ slice: Slice) -> Slice? {
    guard !slice.isMissing else { return nil }
    var start = slice.end
    while start > slice.start, start[-1] != ASCII.space { start -= 1 }
    let last = Slice(start, slice.end)
    return last.isMissing ? nil : last
  }

  static func outcome(
    _ fields: borrowing Fields, _ request: NginxRequest, isHTTP: Bool, sign: String?, _ warnings: Warnings
  ) -> Outcome {
    var outcome = Outcome(warnings: warnings)
    outcome.pseudoTarget = sign
    let status = fields.number(.status)
    outcome.status = status == Numbers.missing ? nil : Int(truncatingIfNeeded: status)
    if isHTTP {
      outcome.method = request.method.stringIfPresent.map(EnvoyFacts.bounded)
      outcome.protocol = request.protocol.stringIfPresent.map(EnvoyFacts.bounded)
    } else {
      outcome.protocol = fields.text(.protocol) ?? "TCP"
    }
    return outcome
  }
}
