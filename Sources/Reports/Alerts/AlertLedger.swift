public import FlowStore
public import Flows

/// One thing an alert query saw.
public struct Observation: Sendable, Equatable {
  public var key: StoredFinding.Key
  public var severity: Severity
  public var flows: Int64
  public var firstSeenMs: Int64?
  public var lastSeenMs: Int64?
  /// What was bypassed and what proves it; empty for what is no bypass.
  public var ways: Set<BypassedWay>
  /// Who sent it, where the source of the key is a proxy that handed it on. They are told, and are not what makes a finding:
  /// who that was is known only once all hops are joined, and one thing would become two.
  public var senders: Set<String>

  public init(
    key: StoredFinding.Key, severity: Severity, flows: Int64, firstSeenMs: Int64? = nil, lastSeenMs: Int64? = nil,
    ways: Set<BypassedWay> = [], sender: String? = nil
  ) {
    self.key = key
    self.severity = severity
    self.flows = flows
    self.firstSeenMs = firstSeenMs
    self.lastSeenMs = lastSeenMs
    self.ways = ways
    senders = sender.map { [$0] } ?? []
  }
}

/// Which hop was bypassed, and what proves it.
public struct BypassedWay: Sendable, Hashable, Comparable {
  /// `gateway` or `sidecar`.
  public var around: String
  /// Empty where the line alone proves it.
  public var reason: String

  /// nil where nothing was bypassed.
  public init?(around: String?, reason: String?) {
    guard let around else { return nil }
    self.around = around
    self.reason = reason ?? ""
  }

  public static func < (one: BypassedWay, other: BypassedWay) -> Bool {
    (one.around, one.reason) < (other.around, other.reason)
  }
}

/// Decides what is told: a pure function from what was known and what was seen to what is known now and what is new.
///
///                  not worth a message             first worth a message: told
///     (unseen) ------------------------> watched -----------------------------> open
///                                           ^                                   |  |  more flows, and the
///                                           |  verdict gone (policy, join)      |  |  cooldown is over: told again
///                                           +------------ closed <--------------+  +--> open
///
/// What was closed and comes back is told at once, and so is a severity that rises.
public struct AlertLedger: Sendable {
  public struct Rules: Sendable {
    /// Unix milliseconds.
    public var now: Int64
    /// Refusals of one host since it was looked at last, from which on they are told.
    public var blockedThreshold: Int64 = 100

    public init(now: Int64) { self.now = now }
  }

  /// Why a finding is told.
  public enum Cause: String, Sendable {
    case new
    /// It was closed, and is a finding again.
    case reopened
    /// Its severity rose.
    case raised
    /// It goes on, and its cooldown is over.
    case ongoing
  }

  public struct Told: Sendable, Equatable {
    public var finding: StoredFinding
    public var cause: Cause
    /// Flows that were not told before.
    public var newFlows: Int64
    public var ways: Set<BypassedWay> = []
    /// The finding's source, or those who sent what that proxy handed on.
    public var senders: Set<String> = []
  }

  public struct Step: Sendable, Equatable {
    /// Findings whose record changed.
    public var changed: [StoredFinding] = []
    public var told: [Told] = []
  }

  /// The first repetition waits a day, each further one twice as long, up to 32 days.
  static let cooldownMs: Int64 = 86_400_000
  static let longestCooldownDoublings: Int64 = 5

  public static let blocked = "blocked"
  public static let newHost = "new-host"
  public static let optedOut = "opted-out"
  /// Signs of spoofing: the kinds of the view suspicious_destination.
  public static let suspicious = [
    "sni-authority-mismatch", "connect-sni-mismatch", "authority-address", "ip-literal", "sni-invalid",
    "one-address-many-names",
  ]

  /// Kinds of bypass that no line proves by itself: lines that are read later prove them, or refute them, so that they
  /// come and go without a new flow of their own.
  public static let claims: Set<String> = Set(
    [Bypass.noSidecar, .sniProxyDirect, .squidDirect].map(\.rawValue))

  /// What was looked at of a kind: all flows, or those since the last run.
  public struct Completeness: Sendable {
    /// nil: all kinds.
    var kinds: Set<String>?

    public static let all = Completeness(kinds: nil)
    public static let newFlows = Completeness(kinds: [])
    /// New flows, and all of those that other lines prove.
    public static let claimsAndNewFlows = Completeness(kinds: claims)

    func holds(_ kind: String) -> Bool { kinds?.contains(kind) ?? true }
  }

  /// - Parameter complete: of which kinds all flows were looked at; of these, counts replace what was known, and what was
  ///   not seen is no finding any more.
  public static func step(
    known: [StoredFinding], seen: [Observation], complete: Completeness, rules: Rules
  ) -> Step {
    let known = Dictionary(known.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
    var step = Step()
    var seenKeys: Set<StoredFinding.Key> = []
    let seen = merged(seen)
    let refusals = newRefusals(known: known, seen: seen, isComplete: complete.holds(blocked))

    for observation in seen {
      seenKeys.insert(observation.key)
      let isComplete = complete.holds(observation.key.kind)
      let before = known[observation.key]
      var finding = before ?? StoredFinding(key: observation.key, severity: Severity.info.rawValue)
      finding.count = isComplete ? observation.flows : saturated(finding.count, observation.flows)
      if isComplete, let before { finding.alertedCount = stillAlerted(before, observation) }
      finding.firstSeenMs = earlier(finding.firstSeenMs, observation.firstSeenMs)
      finding.lastSeenMs = later(finding.lastSeenMs, observation.lastSeenMs)
      let severityBefore = Severity(rawValue: finding.severity) ?? .info
      // Only part of the flows was looked at: what the others were stays true.
      let severity = isComplete ? observation.severity : max(observation.severity, severityBefore)
      finding.severity = severity.rawValue
      let cause = cause(
        of: finding, before: before, severity: severity, severityBefore: severityBefore,
        refusals: refusals[HostPort(observation.key)] ?? 0, rules: rules)
      if let cause {
        step.told.append(
          Told(
            finding: finding, cause: cause, newFlows: max(0, finding.count - finding.alertedCount),
            ways: observation.ways, senders: observation.senders))
        finding.firstAlertedMs = finding.firstAlertedMs ?? rules.now
        finding.lastAlertedMs = rules.now
        // What comes back starts its cooldown anew.
        finding.alerts = cause == .ongoing ? finding.alerts + 1 : 1
        finding.alertedCount = finding.count
        finding.state = .open
      } else if finding.state == .closed {
        finding.state = .watched
      }
      if finding != before { step.changed.append(finding) }
    }

    for (key, before) in known
    where !seenKeys.contains(key) && before.state != .closed && complete.holds(key.kind) {
      // A host once met stays known, whatever became of its flows.
      guard key.kind != newHost else { continue }
      var finding = before
      finding.state = .closed
      finding.count = 0
      finding.alertedCount = 0
      step.changed.append(finding)
    }
    step.changed.sort { order($0.key, $1.key) }
    return step
  }

  /// Of the flows that were told, how many may still be among those seen: some were pruned perhaps, or are no findings any more, and
  /// others have come. What was not told before is not taken for told now, nor what began later than all that was known.
  private static func stillAlerted(_ before: StoredFinding, _ observation: Observation) -> Int64 {
    let untold = max(0, before.count - before.alertedCount)
    let isNewer = observation.lastSeenMs ?? .min > before.lastSeenMs ?? .min
    return max(0, min(before.alertedCount, observation.flows - untold - (isNewer ? 1 : 0)))
  }

  private static func cause(
    of finding: StoredFinding, before: StoredFinding?, severity: Severity, severityBefore: Severity, refusals: Int64,
    rules: Rules
  ) -> Cause? {
    guard severity != .info else { return nil }
    switch before?.state {
    case nil, .watched, .closed:
      if finding.key.kind == newHost, before != nil { return nil }
      if finding.key.kind == blocked, refusals < rules.blockedThreshold { return nil }
      return before?.state == .closed && before?.firstAlertedMs != nil ? .reopened : .new
    case .open:
      if finding.key.kind == newHost { return nil }
      if severity > severityBefore { return .raised }
      let more = finding.count - finding.alertedCount
      guard more > 0, isCooled(finding, now: rules.now) else { return nil }
      if finding.key.kind == blocked, more < rules.blockedThreshold, refusals < rules.blockedThreshold { return nil }
      return .ongoing
    }
  }

  private static func isCooled(_ finding: StoredFinding, now: Int64) -> Bool {
    guard let last = finding.lastAlertedMs else { return true }
    let doublings = min(max(0, finding.alerts - 1), longestCooldownDoublings)
    let pause = cooldownMs << doublings
    // A clock that was set back must not silence a finding for longer than its pause.
    return now < last - pause || now - last >= pause
  }

  // MARK: Refusals per host

  private struct HostPort: Hashable {
    var host: String
    var port: Int64
    init(_ key: StoredFinding.Key) {
      host = key.host
      port = key.port
    }
  }

  /// Refusals of each host, from all sources, that were not looked at before.
  private static func newRefusals(
    known: [StoredFinding.Key: StoredFinding], seen: [Observation], isComplete: Bool
  ) -> [HostPort: Int64] {
    var refusals: [HostPort: Int64] = [:]
    for observation in seen where observation.key.kind == blocked {
      let before = isComplete ? known[observation.key]?.count ?? 0 : 0
      let more = max(0, observation.flows - before)
      refusals[HostPort(observation.key), default: 0] = saturated(refusals[HostPort(observation.key)] ?? 0, more)
    }
    return refusals
  }

  /// Several queries may see the same thing.
  private static func merged(_ seen: [Observation]) -> [Observation] {
    var merged: [StoredFinding.Key: Observation] = [:]
    for observation in seen {
      guard var one = merged[observation.key] else {
        merged[observation.key] = observation
        continue
      }
      one.severity = max(one.severity, observation.severity)
      one.flows = saturated(one.flows, observation.flows)
      one.firstSeenMs = earlier(one.firstSeenMs, observation.firstSeenMs)
      one.lastSeenMs = later(one.lastSeenMs, observation.lastSeenMs)
      one.ways.formUnion(observation.ways)
      one.senders.formUnion(observation.senders)
      merged[observation.key] = one
    }
    return merged.values.sorted { order($0.key, $1.key) }
  }

  static func order(_ one: StoredFinding.Key, _ other: StoredFinding.Key) -> Bool {
    (one.kind, one.host, one.port, one.source) < (other.kind, other.host, other.port, other.source)
  }

  private static func saturated(_ one: Int64, _ other: Int64) -> Int64 {
    let (sum, isOver) = one.addingReportingOverflow(other)
    return isOver ? .max : sum
  }

  private static func earlier(_ one: Int64?, _ other: Int64?) -> Int64? {
    guard let one, let other else { return one ?? other }
    return min(one, other)
  }

  private static func later(_ one: Int64?, _ other: Int64?) -> Int64? {
    guard let one, let other else { return one ?? other }
    return max(one, other)
  }
}

extension Severity {
  /// From info to critical.
  var weight: Int {
    switch self {
    case .info: 0
    case .warning: 1
    case .critical: 2
    }
  }

  static func > (one: Severity, other: Severity) -> Bool { one.weight > other.weight }
}

func max(_ one: Severity, _ other: Severity) -> Severity { one > other ? one : other }
