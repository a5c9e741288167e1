// What a policy says of the logged facts. A flow's verdict is looked up by the class of its source, the class of its
// destination, the interval its start falls into, and its outcome; so a new policy re-judges millions of flows by
// writing thousands of rows.

/// A stretch of time in which no policy entry begins or ends. `untilMs` is exclusive.
public struct PolicyInterval: Hashable, Sendable {
  public var id: Int
  public var fromMs: Int64
  public var untilMs: Int64

  public init(id: Int, fromMs: Int64, untilMs: Int64) {
    self.id = id
    self.fromMs = fromMs
    self.untilMs = untilMs
  }

  public static let all = PolicyInterval(id: 0, fromMs: .min, untilMs: .max)
}

/// Under which circumstances an outcome is to be read; the same flags mean different things at different hops.
public enum OutcomeContext: String, Sendable, CaseIterable, Codable {
  /// An Envoy where traffic leaves (sidecar outbound, egress gateway) and an upstream was chosen.
  case egress
  /// As `egress`, but the line shows that nothing was sent (upstream host `-`).
  case egressUnsent = "egress-unsent"
  /// Cluster `BlackHoleCluster` (or `-` with flag UH, Istio 1.9): REGISTRY_ONLY for TCP.
  case blackHole = "black-hole"
  /// Route `block_all`: REGISTRY_ONLY for HTTP.
  case blockAll = "block-all"
  /// Server side or in-mesh traffic.
  case mesh
  case meshUnsent = "mesh-unsent"
  case nginxStream = "nginx-stream"
  case nginxHTTP = "nginx-http"
  case squid
  /// Envoy's line does not say which hop it is.
  case unknown
}

/// What a proxy's line becomes once something else than the line proves that its client came around a hop.
public struct BypassClaim: Hashable, Sendable {
  public var bypass: Bypass
  public var severity: Severity
  public var around: BypassedHop
  /// The proof that needs no second line; nil where only the client's own sidecar log, or the hop before, can prove it.
  public var reason: BypassReason?
  /// A hop before that is a sidecar proves it too, because a gateway should have stood between.
  public var needsGateway: Bool

  public init(
    bypass: Bypass, severity: Severity, around: BypassedHop, reason: BypassReason? = nil, needsGateway: Bool = false
  ) {
    self.bypass = bypass
    self.severity = severity
    self.around = around
    self.reason = reason
    self.needsGateway = needsGateway
  }
}

/// Where the flows of one source class to one destination class went, in one interval.
public struct RouteVerdict: Hashable, Sendable {
  public var role: Role
  /// The way taken if anything left; a blocked or unsent flow has path `none` whatever stands here.
  public var path: Path
  public var bypass: Bypass?
  public var severity: Severity
  public var context: OutcomeContext
  /// The rule that decided, as a machine word: `passthrough-external`, `cluster-is-gateway`, ...
  public var rule: String
  /// What had to be assumed, for people; nil when evidence and policy alone decide. A verdict with an assumption never clears.
  public var assumption: String?
  /// Index of the policy's exception that allows this bypass; then `bypass` stays set but the flow raises no finding.
  public var exception: Int?
  /// `source-unproven` and the like: warnings that come from the judgement rather than from the line.
  public var warnings: [String]
  /// The role of the next hop, when this hop hands over to one whose log might be read too; without a time range, none
  /// of that log was read.
  public var nextHop: Role?
  /// Time range (Unix ms, inclusive) in which the next hop's log was read; flows inside it are counted there, not here.
  public var nextHopFromMs: Int64?
  public var nextHopUntilMs: Int64?
  /// Times within that range of which the next hop's log was not read, in order.
  public var nextHopHoles: [ClosedRange<Int64>]
  /// More of them are not told apart.
  public static let mostHoles = 64
  /// A bypass that this line alone does not prove; nil where the client is the hop that should stand before, or unknown.
  public var claim: BypassClaim?

  public init(
    role: Role, path: Path, bypass: Bypass? = nil, severity: Severity = .info, context: OutcomeContext, rule: String,
    assumption: String? = nil, exception: Int? = nil, warnings: [String] = [], nextHop: Role? = nil,
    nextHopFromMs: Int64? = nil, nextHopUntilMs: Int64? = nil, nextHopHoles: [ClosedRange<Int64>] = [],
    claim: BypassClaim? = nil
  ) {
    precondition(nextHopHoles.count <= RouteVerdict.mostHoles, "a hole has its place in the store")
    self.role = role
    self.path = path
    self.bypass = bypass
    self.severity = severity
    self.context = context
    self.rule = rule
    self.assumption = assumption
    self.exception = exception
    self.warnings = warnings
    self.nextHop = nextHop
    self.nextHopFromMs = nextHopFromMs
    self.nextHopUntilMs = nextHopUntilMs
    self.nextHopHoles = nextHopHoles
    self.claim = claim
  }
}

/// How flows with one logged outcome ended, in one context.
public struct OutcomeVerdict: Hashable, Sendable {
  public var outcome: OutcomeKind
  /// The short machine word behind the outcome; nil for a plain success.
  public var reason: String?
  /// Something left the hop towards the destination; false makes the flow's path `none`.
  public var left: Bool
  /// A second view of a flow that another line already counts (bumped CONNECT, periodic record): stored, left out of totals.
  public var isDuplicateView: Bool
  /// The line's columns can be read in more than one way: whatever it seems to say, it never clears a finding. Where the
  /// route shows no bypass, such a flow's path reads `unknown`; `left` stays true so that a bypass stays one.
  public var neverClears: Bool

  /// The reason of lines of a side log, whatever became of their requests.
  public static let sideLog = "end-not-logged"

  public init(
    outcome: OutcomeKind, reason: String? = nil, left: Bool = true, isDuplicateView: Bool = false,
    neverClears: Bool = false
  ) {
    self.outcome = outcome
    self.reason = reason
    self.left = left
    self.isDuplicateView = isDuplicateView
    self.neverClears = neverClears
  }
}

/// Everything a policy says of the facts in a store; `FlowStore` writes it, the views read it.
public struct Judgement: Sendable {
  public struct Route: Sendable {
    public var interval: Int
    public var sourceClass: Int
    public var destinationClass: Int
    public var verdict: RouteVerdict
    public init(interval: Int, sourceClass: Int, destinationClass: Int, verdict: RouteVerdict) {
      self.interval = interval
      self.sourceClass = sourceClass
      self.destinationClass = destinationClass
      self.verdict = verdict
    }
  }
  public struct Ending: Sendable {
    public var context: OutcomeContext
    /// Row id of the outcome.
    public var outcome: Int64
    public var verdict: OutcomeVerdict
    public init(context: OutcomeContext, outcome: Int64, verdict: OutcomeVerdict) {
      self.context = context
      self.outcome = outcome
      self.verdict = verdict
    }
  }

  /// Hash of the policy text (hexadecimal), empty for zero configuration.
  public var policyHash = ""
  public var intervals: [PolicyInterval] = [.all]
  /// Class and, where policy or wrapper name one, the workload's name, by row id of the source.
  public var sourceClasses: [(source: Int64, class: Int, name: String?)] = []
  /// Class by row id of the destination.
  public var destinationClasses: [(destination: Int64, class: Int)] = []
  public var routes: [Route] = []
  public var endings: [Ending] = []
  /// What was assumed over the whole store, for people, one sentence each.
  public var assumptions: [String] = []
  /// The policy's exceptions, for reports: index is `RouteVerdict.exception`.
  public var exceptions: [(label: String, owner: String, reason: String, expiresMs: Int64?)] = []

  public init() {}

  /// Outcomes whose lines are second views of a flow.
  public var secondViews: Set<Int64> {
    Set(endings.lazy.filter(\.verdict.isDuplicateView).map(\.outcome))
  }
}
