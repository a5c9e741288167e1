/// What a column of a log line means, whichever proxy wrote it and whatever its format language calls it.
///
/// The engine keeps one slice per role and line; the row builders of the dialects read the roles they know.
/// Directions are named from the client's side: `sent` is towards the destination.
public enum FieldRole: UInt8, Sendable, CaseIterable {
  /// Understood, checked for its syntax, and not kept.
  case ignored

  // Time
  /// Start of the request or connection.
  case startTime
  /// Time at which the line was written: the end.
  case endTime
  /// Fraction of `endTime`, milliseconds (Squid's `%tu`).
  case endTimeFraction
  case duration
  /// The proxy's own measure of the upstream's answer (`X-ENVOY-UPSTREAM-SERVICE-TIME`).
  case upstreamTime

  // Request
  /// `GET /x HTTP/1.1` in one column (nginx `$request`).
  case requestLine
  case method
  /// Path with or without query (`:PATH`, `$request_uri`, `$uri`, Squid `%>rp`).
  case path
  /// Squid's `%ru`: absolute URL, or `host:port` of a CONNECT, or a pseudo URL.
  case url
  case scheme
  case `protocol`
  case authority
  /// Port of the request target, where it stands alone (Squid `%>rP`).
  case targetPort
  /// What the client calls itself, or what a proxy knows it by (Squid `%un`).
  case user
  case userAgent
  case referer
  case forwardedFor
  case requestID

  // Result
  case status
  case responseFlags
  case responseDetails
  case terminationDetails
  case transportFailure
  /// gRPC's own status, by its number or its name, beside an HTTP status of 200.
  case grpcStatus
  /// Squid `%Ss`.
  case squidTag
  /// Squid `%Sh`.
  case squidHierarchy
  /// Squid `%err_code`.
  case squidError
  case accessLogType

  // Bytes
  /// Bytes received from the client and sent on.
  case bytesSent
  /// Bytes received from the destination and passed to the client.
  case bytesReceived

  // Addresses, `ip:port` in one column
  case upstreamHost
  /// The other end of the connection that was made to it (Envoy): where the bytes went, whichever host was chosen.
  case upstreamRemote
  case upstreamLocal
  case downstreamLocal
  case downstreamRemote
  /// The connection's real peer: never taken from X-Forwarded-For. Wins over `downstreamRemote` as a 4-tuple.
  case downstreamDirectRemote

  // Addresses, one part in a column
  case upstreamHostIP
  case upstreamHostPort
  case upstreamLocalIP
  case upstreamLocalPort
  case downstreamLocalIP
  case downstreamLocalPort
  case downstreamRemoteIP
  case downstreamRemotePort
  case downstreamDirectRemoteIP
  case downstreamDirectRemotePort

  // Names
  case upstreamCluster
  case routeName
  case serverName
  case peerURI
  /// Name of the pod or machine that wrote the line (`%HOSTNAME%`, `%ENVIRONMENT(POD_NAME)%`, `$hostname`).
  case hostname
  case connectionID
}
