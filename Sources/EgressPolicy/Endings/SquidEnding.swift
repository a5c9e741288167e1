internal import Flows

/// How a request through Squid ended: result tag, status, hierarchy code and, where logged, `%err_code`.
///
/// - `TCP_DENIED/407` is the first half of proxy authentication, not a block.
/// - A denial inside a bumped connection need not carry `DENIED`: 403 or 407 with `HIER_NONE` is Squid's own page.
/// - 409 with `HIER_NONE` is Squid's own, too: the address that was dialled is none of the host's that the request names
///   (`host_verify_strict`, and whatever is intercepted). 504 is one for a client that asked for the cache alone.
/// - A first `NONE_NONE/200 CONNECT` belongs to a bumped or spliced connection that further lines describe.
/// - A side log tells of requests without their end; that of a request stands in the access log, where it counts.
/// - `HIER_NONE` means that nobody was asked: nothing left, unless a tunnel carried bytes all the same. Whatever names somebody was sent,
///   also where the answer was refused.
///
/// Tags: Squid `src/LogTags.cc`; hierarchy: `src/hier_code.h`; errors: `src/error/forward.h`.
enum SquidEnding {
  static func verdict(_ outcome: Outcome) -> OutcomeVerdict {
    if outcome.recordType == Outcome.sideLog {
      return OutcomeVerdict(outcome: .ok, reason: OutcomeVerdict.sideLog, isDuplicateView: true)
    }
    let tag = Tag(outcome.flags)
    let asked = askedSomebody(outcome.details)
    // A host may be called `error`, too.
    if let target = outcome.pseudoTarget, asked != true { return pseudo(target, outcome) }
    if tag.isInterCache { return tag.isDenied ? .blocked("squid-denied") : .noise("cache-query") }
    if tag.isDenied {
      var verdict = denied(outcome, tag)
      if asked == true { verdict.left = true }
      return verdict
    }
    if asked == false, let verdict = own(outcome, tag) { return verdict }
    var verdict = answered(outcome, tag, asked)
    if asked == true { verdict.left = true }
    // What a tunnel's first line opened may leave behind it, whoever was asked until then. Formats without the hierarchy code
    // leave it open.
    if asked == false, verdict.isDuplicateView { verdict.reason = "tunnel-accepted" }
    if asked == false, !verdict.isDuplicateView, !tag.isTunnel || outcome.status != 200 { verdict.left = false }
    return verdict
  }

  /// nil when the format does not log the hierarchy.
  private static func askedSomebody(_ hierarchy: String?) -> Bool? {
    guard var code = hierarchy?[...] else { return nil }
    if code.hasPrefix("TIMEOUT_") { code = code.dropFirst("TIMEOUT_".count) }
    return !["HIER_NONE", "NONE", "-"].contains(code)
  }

  private static func pseudo(_ target: String, _ outcome: Outcome) -> OutcomeVerdict {
    switch target {
    case "transaction-end-before-headers", "accept-client-connection": .noise("probe")
    default: .badRequest
    }
  }

  private static func denied(_ outcome: Outcome, _ tag: Tag) -> OutcomeVerdict {
    switch outcome.status ?? 403 {
    case 407, 401:
      return OutcomeVerdict(outcome: .challenge, reason: "proxy-authentication", left: false)
    case 400, 405, 408, 411...417, 426, 431, 501, 505:
      return .badRequest
    default:
      // http_reply_access refuses the answer; the request had gone out by then
      return tag.isReplyDenied
        ? OutcomeVerdict(outcome: .blocked, reason: "squid-reply-denied") : .blocked("squid-denied")
    }
  }

  /// Squid answered without asking anybody.
  private static func own(_ outcome: Outcome, _ tag: Tag) -> OutcomeVerdict? {
    if tag.isHit { return OutcomeVerdict(outcome: .ok, reason: "from-cache", left: false) }
    switch outcome.status ?? 0 {
    case 407: return OutcomeVerdict(outcome: .challenge, reason: "proxy-authentication", left: false)
    case 403, 451: return .blocked("squid-denied")
    case 409: return .blocked("host-forgery")
    case 400, 405, 408, 411...417, 426, 431, 501, 505: return .badRequest
    default: return nil
    }
  }

  private static func answered(_ outcome: Outcome, _ tag: Tag, _ asked: Bool?) -> OutcomeVerdict {
    let status = outcome.status ?? 0
    if tag.isNone, status == 200, outcome.method == "CONNECT", !tag.isAborted {
      return OutcomeVerdict(outcome: .ok, reason: "tunnel-opened", isDuplicateView: true)
    }
    if let verdict = byError(outcome.termination, status) { return verdict }
    if tag.isTimedOut { return .timeout("upstream-timeout") }
    if tag.isAborted || outcome.status == 0 { return .clientGone }
    if status == 407 { return OutcomeVerdict(outcome: .challenge, reason: "proxy-authentication") }
    if tag.name.contains("REFRESH_FAIL_ERR") { return .failed("refresh-failed") }
    guard status >= 500 else { return .ok }
    if status == 504, asked != false { return .timeout("upstream-timeout") }
    // Errors of connections are 503, but for an object that was to be validated.
    if status == 504, tag.isMiss { return notInCache }
    return .failed(
      status == 504 || tag.name.contains("TUNNEL") || tag.isNone ? "connection-failure" : "upstream-5xx")
  }

  /// What `only-if-cached` asks for (RFC 9111 section 5.2.1.7): nobody failed.
  private static let notInCache = OutcomeVerdict(outcome: .ok, reason: "not-in-cache", left: false)

  /// `%err_code`, which only formats of one's own log.
  private static func byError(_ code: String?, _ status: Int) -> OutcomeVerdict? {
    switch code {
    case nil, "ERR_NONE", "-": nil
    case "ERR_ACCESS_DENIED", "ERR_FORWARDING_DENIED": .blocked("squid-denied")
    case "ERR_CONFLICT_HOST": .blocked("host-forgery")
    case "ERR_ONLY_IF_CACHED_MISS": notInCache
    case "ERR_CACHE_ACCESS_DENIED", "ERR_CACHE_MGR_ACCESS_DENIED":
      status == 407
        ? OutcomeVerdict(outcome: .challenge, reason: "proxy-authentication", left: false) : .blocked("squid-denied")
    case "ERR_DNS_FAIL": .failed("dns")
    case "ERR_CONNECT_FAIL", "ERR_SOCKET_FAILURE", "ERR_CANNOT_FORWARD", "ERR_NO_RELAY": .failed("connection-failure")
    case "ERR_SECURE_CONNECT_FAIL": .failed("tls")
    case "ERR_READ_TIMEOUT", "ERR_LIFETIME_EXP", "ERR_GATEWAY_FAILURE": .timeout("upstream-timeout")
    case "ERR_READ_ERROR", "ERR_WRITE_ERROR", "ERR_ZERO_SIZE_OBJECT": .failed("upstream-closed")
    case "ERR_CLIENT_GONE": .clientGone
    case "ERR_INVALID_REQ", "ERR_INVALID_URL", "ERR_UNSUP_REQ", "ERR_TOO_BIG", "ERR_PROTOCOL_UNKNOWN": .badRequest
    default: nil
    }
  }

  /// `(TCP|UDP|ICP|NONE|TAG)[_CF]_WORDS[_IGNORED][_TIMEDOUT][_ABORTED]`.
  private struct Tag {
    let name: String

    init(_ text: String?) { name = text ?? "" }

    var isAborted: Bool { name.hasSuffix("_ABORTED") }
    var isTimedOut: Bool { name.contains("_TIMEDOUT") }
    var isDenied: Bool { name.contains("DENIED") }
    var isReplyDenied: Bool { name.contains("DENIED_REPLY") }
    var isInterCache: Bool { name.hasPrefix("UDP_") || name.hasPrefix("ICP_") }
    /// `NONE` (3.1, 4), `TAG_NONE` (3.2-3.5), `NONE_NONE` (5 on).
    var isNone: Bool { name.hasPrefix("NONE") || name.hasPrefix("TAG_NONE") }
    var isHit: Bool { name.contains("_HIT") }
    var isMiss: Bool { name.hasSuffix("_MISS") }
    /// Of a connection that was made; `NONE_NONE` stands for one that was not yet.
    var isTunnel: Bool { name.hasPrefix("TCP_TUNNEL") }
  }
}
