internal import Flows

/// How a flow through an Envoy ended.
///
/// Evidence is asked in this order: what a policy filter said (details, termination details), the REGISTRY_ONLY clusters
/// and routes, response flags as a set, details by prefix, the transport failure, and last the status.
///
/// Decisions that could have gone another way:
/// - An answer of the destination itself (`via_upstream`) is `ok` up to 499, even 403; from 500 on it is `failed`
///   (`upstream-5xx`): the mesh did its part, and still an operator looks for it among the failures. 407 is a `challenge`.
/// - A connection attempt to a chosen upstream counts as having left, also when it was refused: the workload tried to
///   go there, and the mesh let it. Only a policy's "no" and lines without an upstream mean that nothing left.
/// - Requests that Envoy refuses for their shape are `failed` (`bad-request`), not `blocked`: no policy spoke. What it had passed
///   on until then has left.
/// - What the cache filter answers is `from-cache` also where the origin had to say that it still holds: the request has left then,
///   and the line names the upstream.
/// - A call of gRPC has the status 200 and its end in `grpc-status`, which counts as the status that it stands for where it is
///   logged. So does what Envoy answers itself: without that column and response details such an answer is `blocked`
///   (`grpc-local-reply`), as no route has one for a POST as a rule, and the filters of a policy set no flag.
/// - Status 101 is `ok` whatever ended the connection: a WebSocket ends by one side closing it.
///
/// Flags: Envoy `source/common/stream_info/utility.h`; details: `envoy/stream_info/stream_info.h`. Envoy warns that the
/// details are neither complete nor stable, so they are matched by prefix.
enum EnvoyEnding {
  static func verdict(_ outcome: Outcome, _ context: OutcomeContext) -> OutcomeVerdict {
    let flags = EnvoyFlags(outcome.flags)
    var verdict =
      denial(outcome, flags) ?? registryOnly(outcome, flags, context) ?? byFlags(outcome, flags, context)
      ?? byDetails(outcome, context) ?? byFailure(outcome) ?? byStatus(outcome, context)
    if verdict.outcome == .blocked || isUnsent(context) { verdict.left = false }
    // Whatever else the line says: an upstream is named, and answered.
    if outcome.details == "via_upstream" || outcome.warnings.contains(.deniedLate), !isUnsent(context) {
      verdict.left = true
    }
    return verdict
  }

  private static func isUnsent(_ context: OutcomeContext) -> Bool {
    [.egressUnsent, .meshUnsent, .blackHole, .blockAll].contains(context)
  }

  private static func isHTTP(_ outcome: Outcome) -> Bool {
    outcome.method != nil || outcome.protocol?.hasPrefix("HTTP") ?? false || outcome.status ?? 0 > 0
  }

  /// What a filter that enforces a policy says of itself.
  private static func denial(_ outcome: Outcome, _ flags: EnvoyFlags) -> OutcomeVerdict? {
    if let termination = outcome.termination {
      if termination.hasPrefix("rbac_") { return .blocked("rbac-tcp") }
      if termination.hasPrefix("ext_authz_denied") { return .blocked("ext-authz") }
    }
    if let details = outcome.details {
      for (prefix, reason) in denials where details.hasPrefix(prefix) {
        // a network filter's words may stand in the response details of newer proxies
        return .blocked(reason == "rbac-http" && !isHTTP(outcome) ? "rbac-tcp" : reason)
      }
    }
    if flags.contains("UAEX"), !saysAuthorizationFailed(outcome) { return .blocked("ext-authz") }
    if flags.contains("RL") { return .blocked("rate-limit") }
    if flags.contains("FI") { return .blocked("fault-injected") }
    return nil
  }

  /// The authorization service did not answer, for which Envoy sets the same flag as for its refusal.
  ///
  /// Source: Envoy `source/extensions/filters/http/ext_authz/ext_authz.cc`, `source/extensions/filters/network/ext_authz/ext_authz.cc`.
  private static func saysAuthorizationFailed(_ outcome: Outcome) -> Bool {
    [outcome.details, outcome.termination].contains { $0?.hasPrefix("ext_authz_error") ?? false }
  }

  private static let denials: [(prefix: String, reason: String)] = [
    ("rbac_", "rbac-http"), ("ext_authz_denied", "ext-authz"), ("jwt_authn", "jwt"), ("csrf_", "csrf"),
    ("fault_filter_abort", "fault-injected"), ("local_rate_limited", "rate-limit"),
    ("request_rate_limited", "rate-limit"), ("rate_limited", "rate-limit"),
  ]

  private static func registryOnly(
    _ outcome: Outcome, _ flags: EnvoyFlags, _ context: OutcomeContext
  ) -> OutcomeVerdict? {
    switch context {
    case .blackHole:
      flags.contains("UH") || (flags.isEmpty && saysNothing(outcome)) ? .blocked("registry-only-tcp") : nil
    case .blockAll: flags.isEmpty || flags.contains("UH") ? .blocked("registry-only-http") : nil
    default: nil
    }
  }

  /// Without a flag, other details say how it ended: a handshake or a request's headers that came too late, a route's own
  /// answer. So does the status of a request, but for those with which Envoy says that nobody is there.
  private static func saysNothing(_ outcome: Outcome) -> Bool {
    if outcome.termination != nil { return false }
    if outcome.details == "direct_response" { return outcome.status == 502 }
    return outcome.details == nil && (!isHTTP(outcome) || outcome.status ?? 0 >= 500)
  }

  private static func byFlags(
    _ outcome: Outcome, _ flags: EnvoyFlags, _ context: OutcomeContext
  ) -> OutcomeVerdict? {
    if flags.isEmpty { return nil }
    if outcome.status == 101 { return .ok }
    if flags.contains("NR") { return noRoute(outcome, context) }
    for (flag, verdict) in plainFlags where flags.contains(flag) { return verdict }
    if flags.contains("UF") { return .failed(connectionReason(outcome)) }
    if flags.contains("UC") { return .failed("upstream-closed") }
    if flags.contains("UR") { return .failed("upstream-reset") }
    if flags.contains("URX") {
      // The network filter `local_ratelimit` sets it before a cluster is chosen; attempts that ran out leave UF or an upstream.
      if !isHTTP(outcome), isUnsent(context) { return .blocked("rate-limit") }
      return .failed(connectionReason(outcome, otherwise: "retries-exhausted"))
    }
    if flags.contains("RFCF"), outcome.details.map({ $0.hasPrefix("cache.response_from_cache_filter") }) ?? true {
      return OutcomeVerdict(outcome: .ok, reason: "from-cache")
    }
    for (flag, verdict) in lateFlags where flags.contains(flag) { return verdict }
    // DI and flags of extensions say nothing of the end
    return nil
  }

  /// Flags that decide alone, the weightier first: a request may carry several.
  private static let plainFlags: [(String, OutcomeVerdict)] = [
    ("NC", .fault("no-cluster")), ("UH", .fault("no-healthy-upstream")), ("RLSE", .fault("rate-limit-service")),
    ("DF", .fault("dns")), ("NFCF", .fault("config-not-ready")), ("UO", .fault("circuit-breaker")),
    ("UDO", .fault("load-shedding")), ("DO", .fault("load-shedding")), ("OM", .fault("overload")),
    ("LH", .fault("health-check")), ("UT", .timeout("upstream-timeout")), ("UMSDR", .timeout("max-stream-duration")),
    ("IH", badRequest), ("DPE", badRequest), ("UPE", .failed("protocol-error")),
  ]

  private static let lateFlags: [(String, OutcomeVerdict)] = [
    ("LR", .failed("local-reset")), ("SI", .timeout("idle-timeout")), ("DT", .timeout("max-duration")),
    ("DC", .clientGone), ("DR", .clientGone),
  ]

  /// On the way out a missing route is the mesh's "no"; on the way in it is a port without a listener, or plain text
  /// where TLS is demanded.
  private static func noRoute(_ outcome: Outcome, _ context: OutcomeContext) -> OutcomeVerdict {
    switch context {
    case .egress, .egressUnsent, .blackHole, .blockAll:
      return .blocked("no-route")
    default:
      let isListener = outcome.details?.hasPrefix("filter_chain_not_found") ?? false
      return OutcomeVerdict(outcome: .meshFault, reason: isListener ? "no-filter-chain" : "no-route", left: false)
    }
  }

  private static func byDetails(_ outcome: Outcome, _ context: OutcomeContext) -> OutcomeVerdict? {
    if let details = outcome.details, details != "via_upstream" {
      if outcome.status == 101 { return .ok }
      if details.hasPrefix("direct_response") { return direct(outcome) }
      if details.hasPrefix("route_not_found") || details.hasPrefix("route_configuration_not_found")
        || details.hasPrefix("filter_chain_not_found")
      {
        return noRoute(outcome, context)
      }
      if details.hasPrefix("upstream_reset_") { return .failed(connectionReason(outcome)) }
      for (prefixes, verdict) in detailGroups where prefixes.contains(where: details.hasPrefix) { return verdict }
    }
    guard let termination = outcome.termination else { return nil }
    if termination.contains("transport socket timeout") || termination.contains("transport_socket_timeout") {
      return .timeout("tls-handshake-timeout")
    }
    if termination.hasPrefix("tcp_session_idle_timeout") { return .timeout("idle-timeout") }
    if termination.hasPrefix("max_connection_duration") { return .timeout("max-duration") }
    if termination.hasPrefix("ext_authz_error") { return authorizationFailed }
    return nil
  }

  private static let detailGroups: [(prefixes: [String], verdict: OutcomeVerdict)] = [
    (["no_healthy_upstream"], .fault("no-healthy-upstream")), (["cluster_not_found"], .fault("no-cluster")),
    (["ext_authz_error"], authorizationFailed), (["cache.aborted_"], .failed("upstream-reset")),
    (["dns_resolution_failure"], .fault("dns")),
    (["maintenance_mode"], .fault("maintenance")),
    (["drop_overload", "unconditional_drop_overload"], .fault("load-shedding")), (["overload"], .fault("overload")),
    (["filter_removed_required"], .fault("filter")),
    (
      ["stream_idle_timeout", "upstream_per_try_idle_timeout"], .timeout("idle-timeout")
    ),
    (["max_duration_timeout", "duration_timeout", "upstream_max_stream_duration"], .timeout("max-stream-duration")),
    (
      ["request_header_timeout", "request_overall_timeout", "downstream_header_timeout"],
      .timeout("request-timeout")
    ),
    (["response_timeout", "upstream_response_timeout", "upstream_per_try_timeout"], .timeout("upstream-timeout")),
    (["downstream_"], .clientGone),
    (
      [
        "missing_host_header", "missing_path_rejected", "invalid_path", "absolute_path_rejected",
        "path_normalization_failed", "low_version", "request_headers_failed_strict_check", "upgrade_failed",
        "early_connect_data", "http1.", "http2.", "http3.", "http.", "rejecting_because_detection_failed",
        "invalid_envoy_request_headers", "request_payload_too_large",
      ], badRequest
    ),
  ]

  /// As little went on as after a refusal.
  private static let authorizationFailed = OutcomeVerdict(outcome: .meshFault, reason: "ext-authz-error", left: false)

  /// A request may turn out bad, or too slow, when much of it is at its destination already; so a client could take its own traffic
  /// back by a wrong last byte. Where no upstream had been chosen, the line names none, and that nothing left is said of that.
  private static let badRequest = OutcomeVerdict.failed("bad-request")

  /// A fixed answer of the proxy: a redirect, a health page, or a refusal somebody configured.
  private static func direct(_ outcome: Outcome) -> OutcomeVerdict {
    switch outcome.status ?? 0 {
    case 401, 403: .blocked("direct-response")
    case 500...: OutcomeVerdict(outcome: .meshFault, reason: "direct-response", left: false)
    default: OutcomeVerdict(outcome: .ok, reason: "direct-response", left: false)
    }
  }

  /// A transport failure that no flag repeats; a retry may have succeeded after it.
  private static func byFailure(_ outcome: Outcome) -> OutcomeVerdict? {
    guard outcome.failure != nil, [nil, 0, 503].contains(outcome.status) else { return nil }
    return .failed(connectionReason(outcome))
  }

  private static func byStatus(_ outcome: Outcome, _ context: OutcomeContext) -> OutcomeVerdict {
    guard let status = outcome.status, status != 0 else {
      // TCP lines always carry code 0; on HTTP it means that no response began
      return outcome.status == 0 && isHTTP(outcome) ? .clientGone : .ok
    }
    if status == 407 { return OutcomeVerdict(outcome: .challenge, reason: "proxy-authentication") }
    if status == 200, let call = callStatus(outcome) {
      if isUnsent(context) { return ownAnswer(call) }
      return call == 504 ? .timeout("upstream-timeout") : call >= 500 ? .failed("upstream-grpc-error") : .ok
    }
    if isUnsent(context) { return isCall(outcome) ? .blocked("grpc-local-reply") : ownAnswer(status) }
    return status >= 500 ? .failed("upstream-5xx") : .ok
  }

  /// A call of gRPC, by all that its line shows. Source: github.com/grpc/grpc `doc/PROTOCOL-HTTP2.md`; Envoy
  /// `source/common/http/utility.cc` (`sendLocalReply`: 200, and the refusal in `grpc-status`).
  private static func isCall(_ outcome: Outcome) -> Bool {
    outcome.status == 200 && outcome.details == nil && outcome.method == "POST" && outcome.protocol == "HTTP/2"
  }

  /// The status of HTTP that a call's own stands for; what may be the answer of a service that works stays 200.
  ///
  /// Unknown (2) says nothing: Envoy gives it to every answer of 200 that was no call. Source: Envoy `source/common/grpc/status.cc`
  /// (`grpcToHttpStatus`, `httpToGrpcStatus`), `common.cc` (`getGrpcStatus`).
  private static func callStatus(_ outcome: Outcome) -> Int? {
    guard let text = outcome.pseudoTarget, text.hasPrefix(Outcome.grpcPrefix) else { return nil }
    guard let number = Int(text.dropFirst(Outcome.grpcPrefix.count)) else { return nil }
    return [4: 504, 7: 403, 8: 429, 13: 500, 14: 503, 15: 500, 16: 401][number] ?? 200
  }

  /// The status of an answer that Envoy gave itself, in formats without response details.
  private static func ownAnswer(_ status: Int) -> OutcomeVerdict {
    switch status {
    case 401: .blocked("jwt")
    case 403: .blocked("rbac-http")
    case 404: .blocked("no-route")
    case 429: .blocked("rate-limit")
    // Of headers or a body that did not come; its other timeouts are a flag's.
    case 408: .timeout("request-timeout")
    case 400, 405, 411, 413, 414, 417, 421, 426, 431: .badRequest
    case 504: .timeout("upstream-timeout")
    case 500...: .fault("local-5xx")
    default: OutcomeVerdict(outcome: .ok, reason: "direct-response", left: false)
    }
  }

  /// Why a connection failed, from the causes in the details' braces or the transport failure:
  /// `{remote_connection_failure|delayed_connect_error:_Connection_refused}`, `TLS_error:|268435703:SSL_routines:...`.
  static func connectionReason(_ outcome: Outcome, otherwise: String = "connection-failure") -> String {
    var text = (outcome.details ?? "") + " " + (outcome.failure ?? "") + " " + (outcome.termination ?? "")
    return text.withUTF8 { text in
      causes.first { isFound($0.word, in: text) }?.reason
    } ?? otherwise
  }

  /// By bytes, as the words are ASCII: to look for characters takes ten times as long.
  private static func isFound(_ word: StaticString, in text: UnsafeBufferPointer<UInt8>) -> Bool {
    word.withUTF8Buffer { word in
      (0..<max(text.count - word.count + 1, 0)).contains { place in
        text[place] == word[0] && text[place..<place + word.count].elementsEqual(word)
      }
    }
  }

  /// The number behind `connect_error:` is the system's errno (Linux).
  private static let causes: [(word: StaticString, reason: String)] = [
    ("TLS_error", "tls"), ("CERTIFICATE_VERIFY_FAILED", "tls"), ("SSL_routines", "tls"), ("OPENSSL_internal", "tls"),
    ("onnection_refused", "connection-refused"), ("onnection refused", "connection-refused"),
    ("connect_error:_111", "connection-refused"), ("connect_error: 111", "connection-refused"),
    ("unreachable", "unreachable"), ("No_route_to_host", "unreachable"), ("connect_error:_101", "unreachable"),
    ("connect_error:_113", "unreachable"), ("connect_error: 113", "unreachable"),
    ("onnection_timed_out", "connection-timeout"), ("connect_error:_110", "connection-timeout"),
    ("connection_timeout", "connection-timeout"), ("connect_timeout", "connection-timeout"),
    ("dns_resolution", "dns"), ("connection_termination", "upstream-closed"),
    ("remote_reset", "upstream-reset"), ("remote_refused_stream_reset", "upstream-reset"),
    ("onnection_reset", "upstream-reset"), ("connect_error:_104", "upstream-reset"),
    ("protocol_error", "protocol-error"), ("overflow", "circuit-breaker"), ("local_reset", "local-reset"),
  ]
}

/// Response flags as a set: Envoy writes them in any order, in short or in long form.
struct EnvoyFlags {
  private var flags: Set<String> = []

  init(_ text: String?) {
    guard let text, text != "-" else { return }
    for word in text.split(separator: ",") {
      let word = String(word.drop { $0 == " " })
      flags.insert(EnvoyFlags.short[word] ?? word)
    }
  }

  var isEmpty: Bool { flags.isEmpty }
  func contains(_ flag: String) -> Bool { flags.contains(flag) }

  private static let short: [String: String] = [
    "NoHealthyUpstream": "UH", "NoRouteFound": "NR", "NoClusterFound": "NC", "UnauthorizedExternalService": "UAEX",
    "RateLimited": "RL", "RateLimitServiceError": "RLSE", "UpstreamConnectionFailure": "UF",
    "UpstreamRetryLimitExceeded": "URX", "UpstreamConnectionTermination": "UC", "UpstreamRemoteReset": "UR",
    "LocalReset": "LR", "UpstreamRequestTimeout": "UT", "UpstreamMaxStreamDurationReached": "UMSDR",
    "StreamIdleTimeout": "SI", "DurationTimeout": "DT", "DownstreamConnectionTermination": "DC",
    "DownstreamRemoteReset": "DR", "DownstreamProtocolError": "DPE", "UpstreamProtocolError": "UPE",
    "InvalidEnvoyRequestHeaders": "IH", "UpstreamOverflow": "UO", "DropOverload": "DO",
    "UnconditionalDropOverload": "UDO", "OverloadManagerTerminated": "OM", "OverloadManager": "OM",
    "DnsResolutionFailed": "DF", "FailedLocalHealthCheck": "LH", "DelayInjected": "DI", "FaultInjected": "FI",
    "ResponseFromCacheFilter": "RFCF", "NoFilterConfigFound": "NFCF",
  ]
}

extension OutcomeVerdict {
  static let ok = OutcomeVerdict(outcome: .ok)
  static let clientGone = OutcomeVerdict(outcome: .clientGone, reason: "client-gone")
  /// The proxy refused the request for its shape and sent nothing on.
  static let badRequest = OutcomeVerdict(outcome: .failed, reason: "bad-request", left: false)

  static func blocked(_ reason: String) -> OutcomeVerdict {
    OutcomeVerdict(outcome: .blocked, reason: reason, left: false)
  }
  static func failed(_ reason: String) -> OutcomeVerdict { OutcomeVerdict(outcome: .failed, reason: reason) }
  static func timeout(_ reason: String) -> OutcomeVerdict { OutcomeVerdict(outcome: .timeout, reason: reason) }
  static func fault(_ reason: String) -> OutcomeVerdict { OutcomeVerdict(outcome: .meshFault, reason: reason) }
  static func noise(_ reason: String) -> OutcomeVerdict {
    OutcomeVerdict(outcome: .noise, reason: reason, left: false)
  }
}
