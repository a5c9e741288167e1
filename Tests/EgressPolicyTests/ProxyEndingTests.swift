import Flows
import Testing

@testable import EgressPolicy

@Suite struct ProxyEndingTests {
  @Test(
    "nginx-stream statuses",
    arguments: [
      (200, .ok, nil, true), (400, .failed, "bad-request", false), (403, .blocked, "nginx-access", false),
      (500, .failed, "name-unresolved", false), (502, .failed, "connection-failure", true),
      (503, .blocked, "connection-limit", false), (0, .clientGone, "client-gone", true), (nil, .ok, nil, true),
    ] as [(Int?, OutcomeKind, String?, Bool)])
  func nginxStream(status: Int?, kind: OutcomeKind, reason: String?, left: Bool) {
    let verdict = Ending.verdict(of: Outcome(protocol: "TCP", status: status), in: .nginxStream)
    #expect(verdict == OutcomeVerdict(outcome: kind, reason: reason, left: left))
  }

  @Test(
    "nginx as an HTTP proxy",
    arguments: [
      (200, .ok, nil), (404, .ok, nil), (499, .clientGone, "client-gone"), (407, .challenge, "proxy-authentication"),
      (502, .failed, "connection-failure"), (504, .timeout, "upstream-timeout"), (500, .failed, "upstream-5xx"),
    ] as [(Int, OutcomeKind, String?)])
  func nginxHTTP(status: Int, kind: OutcomeKind, reason: String?) {
    let verdict = Ending.verdict(of: Outcome(method: "GET", status: status), in: .nginxHTTP)
    #expect(verdict.outcome == kind)
    #expect(verdict.reason == reason)
  }

  struct Case: Sendable, CustomTestStringConvertible {
    var tag: String
    var status: Int
    var hierarchy: String?
    var method: String? = "GET"
    var error: String?
    var kind: OutcomeKind
    var reason: String?
    var left = true
    var isDuplicate = false
    var testDescription: String { "\(tag)/\(status) \(method ?? "-") \(hierarchy ?? "-") \(error ?? "")" }
  }

  static let squid: [Case] = [
    Case(tag: "TCP_TUNNEL", status: 200, hierarchy: "HIER_DIRECT", method: "CONNECT", kind: .ok),
    Case(tag: "TCP_MISS", status: 404, hierarchy: "HIER_DIRECT", kind: .ok),
    Case(tag: "TCP_MISS", status: 403, hierarchy: "HIER_DIRECT", kind: .ok),
    Case(tag: "TCP_TUNNEL", status: 403, hierarchy: "FIRSTUP_PARENT", method: "CONNECT", kind: .ok),
    Case(
      tag: "TCP_DENIED", status: 403, hierarchy: "HIER_NONE", method: "CONNECT", kind: .blocked, reason: "squid-denied",
      left: false),
    Case(
      tag: "TCP_CF_DENIED", status: 403, hierarchy: "HIER_NONE", kind: .blocked, reason: "squid-denied", left: false),
    Case(tag: "TCP_DENIED_REPLY", status: 403, hierarchy: "HIER_DIRECT", kind: .blocked, reason: "squid-reply-denied"),
    Case(
      tag: "TCP_DENIED", status: 407, hierarchy: "HIER_NONE", kind: .challenge, reason: "proxy-authentication",
      left: false),
    Case(tag: "TCP_DENIED", status: 400, hierarchy: "HIER_NONE", kind: .failed, reason: "bad-request", left: false),
    Case(tag: "TCP_DENIED", status: 411, hierarchy: "HIER_NONE", kind: .failed, reason: "bad-request", left: false),
    // a denial inside a bumped connection
    Case(tag: "NONE_NONE", status: 403, hierarchy: "HIER_NONE", kind: .blocked, reason: "squid-denied", left: false),
    Case(
      tag: "NONE_NONE", status: 407, hierarchy: "HIER_NONE", kind: .challenge, reason: "proxy-authentication",
      left: false),
    // the client dialled another address than that of the host it names
    Case(tag: "NONE_NONE", status: 409, hierarchy: "HIER_NONE", kind: .blocked, reason: "host-forgery", left: false),
    Case(
      tag: "TCP_MISS", status: 409, hierarchy: nil, error: "ERR_CONFLICT_HOST", kind: .blocked, reason: "host-forgery",
      left: false),
    Case(tag: "TCP_MISS", status: 409, hierarchy: "HIER_DIRECT", kind: .ok),
    // the client asked for what is in the cache, and for nothing else
    Case(tag: "TCP_MISS", status: 504, hierarchy: "HIER_NONE", kind: .ok, reason: "not-in-cache", left: false),
    Case(
      tag: "TCP_MISS", status: 504, hierarchy: nil, error: "ERR_ONLY_IF_CACHED_MISS", kind: .ok,
      reason: "not-in-cache", left: false),
    Case(
      tag: "TCP_REFRESH_FAIL_OLD", status: 504, hierarchy: "HIER_NONE", kind: .failed, reason: "connection-failure",
      left: false),
    Case(
      tag: "TCP_TUNNEL", status: 504, hierarchy: "HIER_NONE", method: "CONNECT", kind: .failed,
      reason: "connection-failure", left: false),
    // the first line of a bumped connection, in every age
    Case(
      tag: "NONE_NONE", status: 200, hierarchy: "HIER_NONE", method: "CONNECT", kind: .ok, reason: "tunnel-accepted",
      isDuplicate: true),
    Case(
      tag: "NONE_NONE", status: 200, hierarchy: "HIER_DIRECT", method: "CONNECT", kind: .ok, reason: "tunnel-opened",
      isDuplicate: true),
    Case(
      tag: "NONE", status: 200, hierarchy: "HIER_NONE", method: "CONNECT", kind: .ok, reason: "tunnel-accepted",
      isDuplicate: true),
    Case(
      tag: "TAG_NONE", status: 200, hierarchy: "HIER_NONE", method: "CONNECT", kind: .ok, reason: "tunnel-accepted",
      isDuplicate: true),
    Case(tag: "TCP_HIT", status: 200, hierarchy: "HIER_NONE", kind: .ok, reason: "from-cache", left: false),
    Case(tag: "TCP_MEM_HIT", status: 200, hierarchy: "NONE", kind: .ok, reason: "from-cache", left: false),
    Case(tag: "TCP_MEM_HIT", status: 200, hierarchy: "HIER_DIRECT", kind: .ok),
    Case(
      tag: "TCP_TUNNEL", status: 503, hierarchy: "HIER_NONE", method: "CONNECT", kind: .failed,
      reason: "connection-failure", left: false),
    Case(
      tag: "NONE_NONE", status: 503, hierarchy: "HIER_NONE", method: "CONNECT", kind: .failed,
      reason: "connection-failure", left: false),
    Case(
      tag: "TCP_TUNNEL", status: 503, hierarchy: "HIER_DIRECT", method: "CONNECT", error: "ERR_DNS_FAIL", kind: .failed,
      reason: "dns"),
    Case(
      tag: "TCP_MISS", status: 503, hierarchy: "HIER_DIRECT", error: "ERR_CONNECT_FAIL", kind: .failed,
      reason: "connection-failure"),
    Case(
      tag: "TCP_MISS", status: 503, hierarchy: "HIER_DIRECT", error: "ERR_SECURE_CONNECT_FAIL", kind: .failed,
      reason: "tls"),
    // an answer that a filter refuses: the request had gone out
    Case(
      tag: "TCP_MISS", status: 403, hierarchy: "HIER_DIRECT", error: "ERR_ACCESS_DENIED", kind: .blocked,
      reason: "squid-denied"),
    Case(
      tag: "TCP_MISS", status: 413, hierarchy: "HIER_DIRECT", error: "ERR_TOO_BIG", kind: .failed, reason: "bad-request"
    ),
    Case(tag: "TCP_MISS", status: 502, hierarchy: "HIER_DIRECT", kind: .failed, reason: "upstream-5xx"),
    Case(tag: "TCP_MISS", status: 504, hierarchy: "TIMEOUT_HIER_DIRECT", kind: .timeout, reason: "upstream-timeout"),
    Case(tag: "TCP_MISS_TIMEDOUT", status: 200, hierarchy: "HIER_DIRECT", kind: .timeout, reason: "upstream-timeout"),
    Case(tag: "TCP_MISS_ABORTED", status: 0, hierarchy: "HIER_DIRECT", kind: .clientGone, reason: "client-gone"),
    Case(
      tag: "NONE_NONE_ABORTED", status: 200, hierarchy: "HIER_NONE", method: "CONNECT", kind: .clientGone,
      reason: "client-gone", left: false),
    Case(
      tag: "UDP_MISS", status: 0, hierarchy: "HIER_NONE", method: "ICP_QUERY", kind: .noise, reason: "cache-query",
      left: false),
    // a format of one's own without the hierarchy
    Case(tag: "TCP_MISS", status: 200, hierarchy: nil, kind: .ok),
  ]

  @Test("Squid's tags, statuses and hierarchies", arguments: squid)
  func squidEndings(_ line: Case) {
    let outcome = Outcome(
      method: line.method, status: line.status, flags: line.tag, details: line.hierarchy, termination: line.error)
    #expect(
      Ending.verdict(of: outcome, in: .squid)
        == OutcomeVerdict(outcome: line.kind, reason: line.reason, left: line.left, isDuplicateView: line.isDuplicate))
  }

  @Test("a line of a side log is a second view of a request, whose end it does not show")
  func sideLog() {
    #expect(
      Ending.verdict(of: Outcome(recordType: Outcome.sideLog), in: .squid)
        == OutcomeVerdict(outcome: .ok, reason: "end-not-logged", isDuplicateView: true))
  }

  @Test("health checks are noise, other pseudo targets are bad requests")
  func pseudoTargets() {
    func verdict(_ target: String, _ status: Int) -> OutcomeVerdict {
      Ending.verdict(
        of: Outcome(status: status, flags: "NONE_NONE", details: "HIER_NONE", pseudoTarget: target), in: .squid)
    }
    #expect(
      verdict("transaction-end-before-headers", 0) == OutcomeVerdict(outcome: .noise, reason: "probe", left: false))
    #expect(verdict("invalid-request", 400) == OutcomeVerdict(outcome: .failed, reason: "bad-request", left: false))
    #expect(verdict("method-not-allowed", 405) == OutcomeVerdict(outcome: .failed, reason: "bad-request", left: false))
  }

  @Test("a format without tag and status counts as ok")
  func bareSquid() {
    #expect(Ending.verdict(of: Outcome(), in: .squid).outcome == .ok)
  }
}
