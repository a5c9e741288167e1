/// Envoy's response flags: what `%RESPONSE_FLAGS_LONG%` spells out is kept as `%RESPONSE_FLAGS%` would print it.
///
/// Source: Envoy `source/common/stream_info/utility.h`, `CORE_RESPONSE_FLAGS`.
enum ResponseFlags {
  private static let shortByLong: [String: String] = [
    "FailedLocalHealthCheck": "LH", "NoHealthyUpstream": "UH", "UpstreamRequestTimeout": "UT", "LocalReset": "LR",
    "UpstreamRemoteReset": "UR", "UpstreamConnectionFailure": "UF", "UpstreamConnectionTermination": "UC",
    "UpstreamOverflow": "UO", "NoRouteFound": "NR", "DelayInjected": "DI", "FaultInjected": "FI", "RateLimited": "RL",
    "UnauthorizedExternalService": "UAEX", "RateLimitServiceError": "RLSE", "DownstreamConnectionTermination": "DC",
    "UpstreamRetryLimitExceeded": "URX", "StreamIdleTimeout": "SI", "InvalidEnvoyRequestHeaders": "IH",
    "DownstreamProtocolError": "DPE", "UpstreamMaxStreamDurationReached": "UMSDR", "ResponseFromCacheFilter": "RFCF",
    "NoFilterConfigFound": "NFCF", "DurationTimeout": "DT", "UpstreamProtocolError": "UPE", "NoClusterFound": "NC",
    "OverloadManagerTerminated": "OM", "DnsResolutionFailed": "DF", "DropOverload": "DO",
    "UnconditionalDropOverload": "UDO", "DownstreamRemoteReset": "DR",
  ]

  /// The list with every long name replaced; unknown flags (extensions register their own) stay as they are.
  static func short(_ flags: String) -> String {
    // Short flags are capitals throughout.
    guard flags.utf8.contains(where: { ASCII.isLower($0) }) else { return flags }
    return flags.split(separator: ",").map { shortByLong[String($0)] ?? String($0) }.joined(separator: ",")
  }
}
