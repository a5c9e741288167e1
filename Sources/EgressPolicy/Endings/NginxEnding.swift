internal import Flows

/// How a session or request through nginx ended.
enum NginxEnding {
  /// `$status` of the stream module (`src/stream/ngx_stream.h`): 200 covers every session that was set up, also one that
  /// idled out or carried an application's refusal, and a port probe (`[-]200 0 0`), which its bytes give away.
  static func stream(_ outcome: Outcome) -> OutcomeVerdict { passedOn(outcome, streamEnd(outcome)) }

  private static func streamEnd(_ outcome: Outcome) -> OutcomeVerdict {
    guard let status = outcome.status else { return .ok }
    switch status {
    case 200 where outcome.pseudoTarget == Outcome.probe:
      return OutcomeVerdict(outcome: .noise, reason: "port-probe", left: false)
    case 200: return .ok
    case 0: return .clientGone
    case 400: return .badRequest
    case 403: return .blocked("nginx-access")
    case 500: return OutcomeVerdict(outcome: .failed, reason: "name-unresolved", left: false)
    case 502: return .failed("connection-failure")
    case 503: return .blocked("connection-limit")
    default: return status >= 500 ? .failed("nginx-\(status)") : .ok
    }
  }

  /// Whether nginx or the destination chose the status does not show, except for nginx's own numbers.
  static func http(_ outcome: Outcome) -> OutcomeVerdict { passedOn(outcome, httpEnd(outcome)) }

  private static func httpEnd(_ outcome: Outcome) -> OutcomeVerdict {
    guard let status = outcome.status else { return .ok }
    switch status {
    case 0, 499: return .clientGone
    case 400 where outcome.method == nil: return .badRequest
    case 407: return OutcomeVerdict(outcome: .challenge, reason: "proxy-authentication")
    case 408: return OutcomeVerdict(outcome: .timeout, reason: "request-timeout", left: false)
    case 444: return .blocked("nginx-444")
    case 494...497: return .badRequest
    case 502: return .failed("connection-failure")
    case 504: return .timeout("upstream-timeout")
    default: return status >= 500 ? .failed("upstream-5xx") : .ok
    }
  }

  /// What was passed on has left, whatever the client was told in the end: a request whose body came too slowly, say, while it was
  /// sent on as it came (`proxy_request_buffering off`).
  private static func passedOn(_ outcome: Outcome, _ end: OutcomeVerdict) -> OutcomeVerdict {
    var end = end
    if outcome.pseudoTarget == Outcome.passedOn { end.left = true }
    return end
  }
}
