import Flows
import Testing

@testable import EgressPolicy

@Suite struct EnvoyEndingTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var context: OutcomeContext
    var outcome: Outcome
    var kind: OutcomeKind
    var reason: String?
    var left: Bool
    var testDescription: String {
      "\(context.rawValue) \(outcome.status.map(String.init) ?? "-") \(outcome.flags ?? "-") \(outcome.details ?? "-") \(outcome.termination ?? "-")"
    }

    /// An HTTP line.
    static func http(
      _ context: OutcomeContext, _ status: Int, _ flags: String?, _ details: String?, failure: String? = nil,
      _ kind: OutcomeKind, _ reason: String? = nil, left: Bool = true
    ) -> Case {
      Case(
        context: context,
        outcome: Outcome(
          protocol: "HTTP/1.1", method: "GET", status: status, flags: flags, details: details, failure: failure),
        kind: kind, reason: reason, left: left)
    }

    /// A TCP line: code 0.
    static func tcp(
      _ context: OutcomeContext, _ flags: String?, _ details: String?, termination: String? = nil,
      failure: String? = nil, _ kind: OutcomeKind, _ reason: String? = nil, left: Bool = true
    ) -> Case {
      Case(
        context: context,
        outcome: Outcome(status: 0, flags: flags, details: details, termination: termination, failure: failure),
        kind: kind,
        reason: reason, left: left)
    }
  }

  static let denials: [Case] = [
    .http(.blockAll, 502, nil, "direct_response", .blocked, "registry-only-http", left: false),
    .http(.blockAll, 502, nil, nil, .blocked, "registry-only-http", left: false),
    .http(.blockAll, 403, nil, "rbac_access_denied_matched_policy[none]", .blocked, "rbac-http", left: false),
    .tcp(.blackHole, "UH", nil, .blocked, "registry-only-tcp", left: false),
    .tcp(.blackHole, nil, nil, .blocked, "registry-only-tcp", left: false),
    .http(
      .egressUnsent, 403, nil, "rbac_access_denied_matched_policy[ns[a]-policy[p]-rule[0]]", .blocked, "rbac-http",
      left: false),
    .tcp(
      .egress, nil, nil, termination: "rbac_access_denied_matched_policy[ns[a]-policy[p]-rule[0]]", .blocked,
      "rbac-tcp", left: false),
    .tcp(.mesh, nil, nil, termination: "rbac_deny_close", .blocked, "rbac-tcp", left: false),
    .http(.egress, 403, "UAEX", "ext_authz_denied", .blocked, "ext-authz", left: false),
    .http(.egress, 403, "UAEX", nil, .blocked, "ext-authz", left: false),
    .http(.egressUnsent, 401, nil, "jwt_authn_access_denied{Jwt_is_missing}", .blocked, "jwt", left: false),
    .http(.egress, 403, nil, "csrf_origin_mismatch", .blocked, "csrf", left: false),
    .http(.egress, 429, "RL", "request_rate_limited", .blocked, "rate-limit", left: false),
    .http(.egress, 429, nil, "local_rate_limited", .blocked, "rate-limit", left: false),
    .http(.egress, 503, "DI,FI", "fault_filter_abort", .blocked, "fault-injected", left: false),
    .http(.egressUnsent, 404, "NR", "route_not_found", .blocked, "no-route", left: false),
    .tcp(.egressUnsent, "NR", nil, .blocked, "no-route", left: false),
    .http(.egressUnsent, 403, nil, nil, .blocked, "rbac-http", left: false),
    .http(.egressUnsent, 429, nil, nil, .blocked, "rate-limit", left: false),
    // a network filter's limit, before a cluster was chosen
    .tcp(.blackHole, "URX", nil, .blocked, "rate-limit", left: false),
    .tcp(.egressUnsent, "URX", nil, .blocked, "rate-limit", left: false),
  ]

  static let failures: [Case] = [
    .tcp(.egress, "UF,URX", nil, .failed, "connection-failure"),
    .tcp(.egress, "URX,UF", nil, failure: "delayed_connect_error:_111", .failed, "connection-refused"),
    .tcp(.egressUnsent, "URX,UF", nil, .failed, "connection-failure", left: false),
    .tcp(.egress, "URX", nil, .failed, "retries-exhausted"),
    // the authorization service did not answer: nobody refused, and nothing went on
    .http(.egress, 403, "UAEX", "ext_authz_error", .meshFault, "ext-authz-error", left: false),
    .tcp(.egress, "UAEX", "ext_authz_error", .meshFault, "ext-authz-error", left: false),
    .tcp(.egress, "UAEX", nil, termination: "ext_authz_error", .meshFault, "ext-authz-error", left: false),
    .http(.egress, 0, nil, "cache.aborted_lookup", .failed, "upstream-reset"),
    .http(.egress, 200, "RFCF", "cache.aborted_body", .failed, "upstream-reset"),
    .http(.egress, 500, "RFCF", "cache.insert_via_upstream", .failed, "upstream-5xx"),
    .http(
      .egress, 503, "URX,UF",
      "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}",
      .failed,
      "connection-refused"),
    .http(
      .egress, 503, "UF",
      "upstream_reset_before_response_started{remote_connection_failure|immediate_connect_error:_Network_is_unreachable|remote_address:*}",
      .failed, "unreachable"),
    .http(
      .egress, 503, "UF",
      "upstream_reset_before_response_started{remote_connection_failure|TLS_error:|268435703:SSL_routines}",
      .failed, "tls"),
    .http(
      .egress, 503, "UF", "upstream_reset_before_response_started{connection_timeout}", .failed, "connection-timeout"),
    .http(
      .egress, 503, "UF", "upstream_reset_before_response_started{connection_failure}", .failed, "connection-failure"),
    .http(
      .egress, 503, nil, nil, failure: "TLS error: 268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED",
      .failed, "tls"),
    .http(
      .egress, 503, "UC", "upstream_reset_before_response_started{connection_termination}", .failed, "upstream-closed"),
    .tcp(.egress, "UR", nil, .failed, "upstream-reset"), .http(.egress, 503, "LR", nil, .failed, "local-reset"),
    .http(.egress, 502, "UPE", nil, .failed, "protocol-error"),
    .http(.egress, 500, nil, "via_upstream", .failed, "upstream-5xx"),
    .http(.egress, 503, nil, nil, .failed, "upstream-5xx"),
    .http(.egressUnsent, 400, "DPE", "http.invalid_authority", .failed, "bad-request", left: false),
    .http(.egressUnsent, 400, nil, "missing_host_header", .failed, "bad-request", left: false),
    .http(.egress, 504, "UT", "response_timeout", .timeout, "upstream-timeout"),
    .http(.egress, 504, nil, "upstream_response_timeout", .timeout, "upstream-timeout"),
    .http(.egress, 504, "URX,UT", nil, .timeout, "upstream-timeout"),
    .http(.egress, 408, "SI", "stream_idle_timeout", .timeout, "idle-timeout"),
    .tcp(.egress, "DT", nil, .timeout, "max-duration"), .tcp(.egress, "UMSDR", nil, .timeout, "max-stream-duration"),
    .tcp(.egress, nil, nil, termination: "transport socket timeout was reached", .timeout, "tls-handshake-timeout"),
    .http(.egress, 0, "DC", "downstream_remote_disconnect", .clientGone, "client-gone"),
    .http(.egress, 0, nil, nil, .clientGone, "client-gone"),
    .tcp(.egress, "DC", nil, .clientGone, "client-gone"), .http(.egress, 0, "DR", nil, .clientGone, "client-gone"),
    .http(.egress, 503, "UH", "no_healthy_upstream", .meshFault, "no-healthy-upstream"),
    .http(.egressUnsent, 503, "NC", "cluster_not_found", .meshFault, "no-cluster", left: false),
    .http(.egress, 503, "UO", nil, .meshFault, "circuit-breaker"),
    .http(.egress, 503, "OM", nil, .meshFault, "overload"),
    .http(.egress, 503, "DF", "dns_resolution_failure", .meshFault, "dns"),
    .http(.egress, 500, "RLSE", nil, .meshFault, "rate-limit-service"),
    .http(.egress, 503, nil, "maintenance_mode", .meshFault, "maintenance"),
    .tcp(.meshUnsent, "NR", "filter_chain_not_found", .meshFault, "no-filter-chain", left: false),
    .tcp(.unknown, "NR", "filter_chain_not_found", .meshFault, "no-filter-chain", left: false),
  ]

  static let successes: [Case] = [
    .tcp(.egress, nil, nil, .ok), .http(.egress, 200, nil, "via_upstream", .ok),
    .http(.egress, 301, nil, "via_upstream", .ok),
    // the server itself said no: not the mesh's decision
    .http(.egress, 403, nil, "via_upstream", .ok), .http(.egress, 404, nil, "via_upstream", .ok),
    .http(.egress, 403, nil, nil, .ok),
    .http(.egress, 429, nil, "via_upstream", .ok), .http(.egress, 101, "UC", nil, .ok),
    .http(.egress, 101, "DC", "downstream_remote_disconnect", .ok),
    .http(.egress, 200, nil, "via_upstream", failure: "delayed_connect_error:_111", .ok),
    .http(.egress, 200, "DI", "via_upstream", .ok), .http(.egress, 200, "XYZ", "via_upstream", .ok),
    .http(.egress, 407, nil, "via_upstream", .challenge, "proxy-authentication"),
    .http(.egressUnsent, 301, nil, "direct_response", .ok, "direct-response", left: false),
    // from the cache, but for what the origin was asked whether it still holds
    .http(.egress, 200, "RFCF", "cache.response_from_cache_filter", .ok, "from-cache"),
    .http(.egressUnsent, 200, "RFCF", "cache.response_from_cache_filter", .ok, "from-cache", left: false),
    .http(.egress, 200, "RFCF", "cache.insert_via_upstream", .ok), .http(.egress, 200, "RFCF", nil, .ok, "from-cache"),
  ]

  @Test("what a policy refused is blocked, with its reason, and nothing left", arguments: denials)
  func denied(_ line: Case) { check(line) }

  @Test("failures, timeouts and departures carry their cause", arguments: failures)
  func failed(_ line: Case) { check(line) }

  @Test("a success is a success, and the server's own answer is not the mesh's", arguments: successes)
  func succeeded(_ line: Case) { check(line) }

  @Test(
    "a request is no connection that a policy refused, though it has no cluster, no flag and no method",
    arguments: [
      (408, "request_header_timeout", .timeout, "request-timeout"), (408, nil, .timeout, "request-timeout"),
      (0, nil, .clientGone, "client-gone"), (0, "downstream_remote_disconnect", .clientGone, "client-gone"),
      (301, "direct_response", .ok, "direct-response"), (301, nil, .ok, "direct-response"),
      (403, "rbac_access_denied_matched_policy[none]", .blocked, "rbac-http"), (403, nil, .blocked, "rbac-http"),
      (400, "http1.codec_error", .failed, "bad-request"), (502, nil, .blocked, "registry-only-tcp"),
      (502, "direct_response", .blocked, "registry-only-tcp"),
    ] as [(Int, String?, OutcomeKind, String)])
  func requestWithoutCluster(status: Int, details: String?, kind: OutcomeKind, reason: String) {
    check(
      Case(
        context: .blackHole, outcome: Outcome(protocol: "HTTP/1.1", status: status, details: details), kind: kind,
        reason: reason, left: false))
  }

  private func check(_ line: Case) {
    let verdict = Ending.verdict(of: line.outcome, in: line.context)
    #expect(verdict.outcome == line.kind)
    #expect(verdict.reason == line.reason)
    #expect(verdict.left == line.left)
    #expect(!verdict.neverClears)
    #expect(!verdict.isDuplicateView)
  }

  @Test(
    "flags are a set: order, length and unknown ones do not matter",
    arguments: ["UF,URX", "URX,UF", "UpstreamConnectionFailure,UpstreamRetryLimitExceeded", "NEW,UF"])
  func flagOrder(flags: String) {
    #expect(Ending.verdict(of: Outcome(status: 0, flags: flags), in: .egress).outcome == .failed)
  }

  @Test(
    "only records at the end of a request or connection are counted",
    arguments: [
      (nil, false), ("TcpConnectionEnd", false), ("DownstreamEnd", false), ("NotSet", false), ("TcpPeriodic", true),
      ("DownstreamPeriodic", true), ("TcpConnectionStart", true), ("DownstreamStart", true),
      ("TcpUpstreamConnected", true),
      ("DownstreamTunnelSuccessfullyEstablished", true), ("UpstreamPoolReady", true),
    ] as [(String?, Bool)])
  func recordTypes(type: String?, isDuplicate: Bool) {
    #expect(Ending.verdict(of: Outcome(status: 200, recordType: type), in: .egress).isDuplicateView == isDuplicate)
  }

  @Test(
    "a line whose columns are ambiguous never clears, not even by saying that it was blocked",
    arguments: OutcomeContext.allCases)
  func ambiguous(context: OutcomeContext) {
    for outcome in [
      Outcome(status: 200, warnings: .ambiguousColumns),
      Outcome(
        status: 403, details: "rbac_access_denied_matched_policy[none]", warnings: [.ambiguousColumns, .truncated]),
    ] {
      let verdict = Ending.verdict(of: outcome, in: context)
      #expect(verdict.neverClears)
      #expect(verdict.left)
    }
  }

  @Test("what a policy refused when bytes had come back is blocked, and has left")
  func deniedLate() {
    for (context, left) in [(OutcomeContext.egress, true), (.blackHole, false), (.egressUnsent, false)] {
      let outcome = Outcome(status: 0, termination: "rbac_access_denied_matched_policy[none]", warnings: .deniedLate)
      let verdict = Ending.verdict(of: outcome, in: context)
      #expect(verdict.outcome == .blocked && verdict.reason == "rbac-tcp" && verdict.left == left, "\(context)")
    }
  }

  @Test("what came back before the authorization service failed had left")
  func failedLate() {
    let outcome = Outcome(status: 0, flags: "UAEX", details: "ext_authz_error", warnings: .deniedLate)
    #expect(
      Ending.verdict(of: outcome, in: .egress) == OutcomeVerdict(outcome: .meshFault, reason: "ext-authz-error"))
  }

  @Test(
    "an answer of Envoy's own to a call of gRPC is a refusal, though its status is 200",
    arguments: [
      ("POST", "HTTP/2", nil, .blocked, "grpc-local-reply"),
      ("POST", "HTTP/2", "direct_response", .ok, "direct-response"),
      ("GET", "HTTP/2", nil, .ok, "direct-response"), ("POST", "HTTP/1.1", nil, .ok, "direct-response"),
    ] as [(String, String, String?, OutcomeKind, String)])
  func callsWithoutDetails(method: String, version: String, details: String?, kind: OutcomeKind, reason: String) {
    check(
      Case(
        context: .egressUnsent, outcome: Outcome(protocol: version, method: method, status: 200, details: details),
        kind: kind, reason: reason, left: false))
  }

  @Test(
    "a call of gRPC ended as its own status says",
    arguments: [
      (0, .ok, nil, .ok, "direct-response"), (5, .ok, nil, .ok, "direct-response"),
      (7, .ok, nil, .blocked, "rbac-http"), (16, .ok, nil, .blocked, "jwt"), (8, .ok, nil, .blocked, "rate-limit"),
      (4, .timeout, "upstream-timeout", .timeout, "upstream-timeout"),
      (14, .failed, "upstream-grpc-error", .meshFault, "local-5xx"),
    ] as [(Int, OutcomeKind, String?, OutcomeKind, String)])
  func calls(number: Int, kind: OutcomeKind, reason: String?, ownKind: OutcomeKind, ownReason: String) {
    let outcome = Outcome(
      protocol: "HTTP/2", method: "POST", status: 200, pseudoTarget: Outcome.grpcPrefix + "\(number)")
    let sent = Ending.verdict(of: outcome, in: .egress)
    #expect(sent.outcome == kind && sent.reason == reason && sent.left)
    let own = Ending.verdict(of: outcome, in: .egressUnsent)
    #expect(own.outcome == ownKind && own.reason == ownReason && !own.left)
  }

  @Test("no words of a log make the reader crash or say something in two ways", arguments: 0..<100)
  func garbage(seed: UInt64) {
    var generator = SplitMix(state: seed)
    let words = [
      "-", "", ",", "UF", "rbac_", "{", "via_upstream", "\u{2028}", "direct_response", "NONE_NONE", "TCP_DENIED",
      "HIER_NONE",
    ]
    func word() -> String? { Bool.random(using: &generator) ? words.randomElement(using: &generator)! : nil }
    let outcome = Outcome(
      protocol: word(), method: word(),
      status: [nil, Int.min, -1, 0, 200, 403, Int.max].randomElement(using: &generator)!, flags: word(),
      details: word(), termination: word(), failure: word(), recordType: word(), pseudoTarget: word())
    for context in OutcomeContext.allCases {
      let verdict = Ending.verdict(of: outcome, in: context)
      #expect(verdict == Ending.verdict(of: outcome, in: context))
      if verdict.outcome == .blocked, context != .squid { #expect(!verdict.left) }
    }
  }
}
