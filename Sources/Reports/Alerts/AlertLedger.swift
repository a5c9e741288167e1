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
    ways: Set<BypassedWay> = [], senders: Set<String> = []
  ) {
    self.key = key
    self.severity = severity
    self.flows = flows
    self.firstSeenMs = firstSeenMs
    self.lastSeenMs = lastSeenMs
    self.ways = ways
    self.senders = senders
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
    /// Which of the step's changed findings it is.
    public var place: Int
    public var cause: Cause
    /// Flows that were not told before.
    public var newFlows: Int64
    public var ways: Set<BypassedWay> = []
    /// The finding's source, or those who sent what that proxy handed on.
    public var senders: Set<String> = []
  }

  /// Both lists are in one order: by kind, host and port, and then by source.
  public struct Step: Sendable, Equatable {
    /// Findings whose record changed.
    public var changed: [StoredFinding] = []
    public var told: [Told] = []

    fileprivate mutating func tell(
      _ finding: StoredFinding, as cause: Cause, ways: Set<BypassedWay> = [], senders: Set<String> = [], now: Int64
    ) {
      var finding = finding
      told.append(
        Told(
          place: changed.count, cause: cause, newFlows: max(0, finding.count - finding.alertedCount), ways: ways,
          senders: senders))
      finding.firstAlertedMs = finding.firstAlertedMs ?? now
      finding.lastAlertedMs = now
      // What comes back starts its cooldown anew.
      finding.alerts = cause == .ongoing ? finding.alerts + 1 : 1
      finding.alertedCount = finding.count
      finding.state = .open
      changed.append(finding)
    }
  }

  /// The first repetition waits a day, each further one twice as long, up to 32 days.
  static let cooldownMs: Int64 = 86_400_000
  static let longestCooldownDoublings: Int64 = 5

  public static let blocked = "blocked"
  public static let newHost = "new-host"
  public static let optedOut = "opted-out"
  /// The client chose another address for a name than proxies find for it.
  static let authorityAddress = "authority-address"
  /// Signs of spoofing: the kinds of the view suspicious_destination.
  public static let suspicious = [
    "sni-authority-mismatch", "connect-sni-mismatch", authorityAddress, "ip-literal", "sni-invalid",
    "one-address-many-names",
  ]

  /// All kinds of findings that come with the program.
  public static let kinds = Bypass.allCases.map(\.rawValue) + [blocked, newHost, optedOut] + suspicious

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

    mutating func formUnion(_ more: Set<String>) { kinds?.formUnion(more) }

    func holds(_ kind: String) -> Bool { kinds?.contains(kind) ?? true }
  }

  /// A scan makes a finding of each address it tried: there may be very many, and they are looked at in their order, without
  /// a copy of their keys.
  ///
  /// - Parameters:
  ///   - complete: of which kinds all flows were looked at; of these, counts replace what was known, and what was not seen is no
  ///     finding any more.
  ///   - new: how many of the flows that were seen were stored since the last run, where others were pruned since: what is left of
  ///     all that was known then does not tell.
  ///   - isOnlyPruned: flows were pruned since the last run, and the policy is the same: what is not seen may have been among them.
  public static func step(
    known: consuming [StoredFinding], seen: consuming [Observation], complete: Completeness,
    new: [StoredFinding.Key: Int64] = [:], isOnlyPruned: Bool = false, rules: Rules
  ) -> Step {
    known.sort { order($0.key, $1.key) }
    let seen = merged(seen)
    let places = places(of: seen, in: known)
    var step = Step()
    // Rarely less: to grow would take twice as much for a moment.
    step.changed.reserveCapacity(seen.count)
    // The first of those known findings that nothing was said of yet.
    var next = 0
    func closeUnseen(until end: Int) {
      while next < end {
        if let unseen = unseen(known[next], complete, isOnlyPruned: isOnlyPruned) {
          step.changed.append(unseen)
        } else if isDue(known[next], complete, rules) {
          step.tell(known[next], as: .ongoing, now: rules.now)
        }
        next += 1
      }
    }

    var refusals: Int64 = 0
    for (index, observation) in seen.enumerated() {
      let isComplete = complete.holds(observation.key.kind)
      if observation.key.kind == blocked, index == 0 || !observation.key.isOfHost(of: seen[index - 1].key) {
        refusals = newRefusals(from: index, seen, known, places, new, isComplete: isComplete)
      }
      let before = places[index].map { known[$0] }
      if let place = places[index] {
        closeUnseen(until: place)
        next = place + 1
      } else {
        while next < known.count, order(known[next].key, observation.key) { closeUnseen(until: next + 1) }
      }
      var finding = before ?? StoredFinding(key: observation.key, severity: Severity.info.rawValue)
      finding.count = isComplete ? observation.flows : finding.count.plus(observation.flows)
      if isComplete, let before {
        finding.alertedCount = stillAlerted(before, observation, new: new[observation.key] ?? 0)
      }
      finding.firstSeenMs = earlier(finding.firstSeenMs, observation.firstSeenMs)
      finding.lastSeenMs = later(finding.lastSeenMs, observation.lastSeenMs)
      let severityBefore = Severity(rawValue: finding.severity) ?? .info
      // Only part of the flows was looked at: what the others were stays true.
      let severity = isComplete ? observation.severity : max(observation.severity, severityBefore)
      finding.severity = severity.rawValue
      let cause = cause(
        of: finding, before: before, severity: severity, severityBefore: severityBefore, refusals: refusals,
        rules: rules)
      if let cause {
        step.tell(finding, as: cause, ways: observation.ways, senders: observation.senders, now: rules.now)
        continue
      }
      if finding.state == .closed { finding.state = .watched }
      if finding != before { step.changed.append(finding) }
    }
    closeUnseen(until: known.count)
    return step
  }

  /// Where each observation stands among what is known; both in their order.
  private static func places(of seen: [Observation], in known: [StoredFinding]) -> [Int?] {
    if known.isEmpty { return Array(repeating: nil, count: seen.count) }
    var next = 0
    return seen.map { observation in
      while next < known.count, order(known[next].key, observation.key) { next += 1 }
      return next < known.count && known[next].key == observation.key ? next : nil
    }
  }

  /// What becomes of a finding that was not seen; nil where it stays as it is.
  private static func unseen(
    _ before: StoredFinding, _ complete: Completeness, isOnlyPruned: Bool
  ) -> StoredFinding? {
    // A host once met stays known, whatever became of its flows.
    guard before.state != .closed, complete.holds(before.key.kind), before.key.kind != newHost else { return nil }
    var finding = before
    // What was told is no news when it comes again, though its first flows are gone. A claim may also be refuted by other lines.
    let isKept = isOnlyPruned && before.state == .open && !claims.contains(before.key.kind)
    if !isKept { finding.state = .closed }
    finding.count = 0
    finding.alertedCount = 0
    return finding == before ? nil : finding
  }

  /// Of the flows that were told, how many may still be among those seen: some were pruned perhaps, or are no findings any more, and
  /// others have come. What was not told before is not taken for told now, nor what came since or began later than all that was known.
  private static func stillAlerted(_ before: StoredFinding, _ observation: Observation, new: Int64) -> Int64 {
    let untold = max(0, before.count - before.alertedCount)
    let isNewer = observation.lastSeenMs ?? .min > before.lastSeenMs ?? .min
    return max(0, min(before.alertedCount, observation.flows - untold - max(new, isNewer ? 1 : 0)))
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

  /// What went on within its pause, and of which nothing is new since: it is told once the pause is over. Where all flows were looked at,
  /// it was seen, or is none any more.
  private static func isDue(_ finding: StoredFinding, _ complete: Completeness, _ rules: Rules) -> Bool {
    guard !complete.holds(finding.key.kind), finding.isUntold, let severity = Severity(rawValue: finding.severity)
    else {
      return false
    }
    return cause(
      of: finding, before: finding, severity: severity, severityBefore: severity, refusals: 0, rules: rules) != nil
  }

  private static func isCooled(_ finding: StoredFinding, now: Int64) -> Bool {
    guard let last = finding.lastAlertedMs else { return true }
    let pause = pause(of: finding)
    // A clock that was set back must not silence a finding for longer than its pause.
    return now < last - pause || now - last >= pause
  }

  private static func pause(of finding: StoredFinding) -> Int64 {
    cooldownMs << min(max(0, finding.alerts - 1), longestCooldownDoublings)
  }

  /// When the first of these is to be told that it went on, if nothing more comes.
  static func dueMs(_ findings: some Sequence<StoredFinding>, _ rules: Rules) -> Int64? {
    findings.lazy.filter { finding in
      finding.isUntold && finding.key.kind != newHost && finding.severity != Severity.info.rawValue
        && (finding.key.kind != blocked || finding.count - finding.alertedCount >= rules.blockedThreshold)
    }.map { ($0.lastAlertedMs ?? .min).plus(pause(of: $0)) }.min()
  }

  /// Refusals of one host, from all sources, that were not looked at before.
  /// - Parameter first: where those of the host begin.
  private static func newRefusals(
    from first: Int, _ seen: [Observation], _ known: [StoredFinding], _ places: [Int?],
    _ new: [StoredFinding.Key: Int64], isComplete: Bool
  ) -> Int64 {
    var refusals: Int64 = 0
    for index in first..<seen.count {
      guard seen[index].key.isOfHost(of: seen[first].key) else { break }
      // Of the others, those that were none before: by another policy.
      let new = new[seen[index].key] ?? 0
      let before = isComplete ? places[index].map { known[$0].count } ?? 0 : 0
      refusals = refusals.plus(new).plus(max(0, (seen[index].flows - new).since(before)))
    }
    return refusals
  }

  /// In their order, each key once: several queries may see the same thing.
  private static func merged(_ seen: consuming [Observation]) -> [Observation] {
    seen.sort { order($0.key, $1.key) }
    var last = -1
    for index in seen.indices {
      guard last >= 0, seen[last].key == seen[index].key else {
        last += 1
        if last != index { seen.swapAt(last, index) }
        continue
      }
      let other = seen[index]
      seen[last].severity = max(seen[last].severity, other.severity)
      seen[last].flows = seen[last].flows.plus(other.flows)
      seen[last].firstSeenMs = earlier(seen[last].firstSeenMs, other.firstSeenMs)
      seen[last].lastSeenMs = later(seen[last].lastSeenMs, other.lastSeenMs)
      seen[last].ways.formUnion(other.ways)
      seen[last].senders.formUnion(other.senders)
    }
    seen.removeLast(seen.count - last - 1)
    return seen
  }

  /// By what is told together, and then by source.
  static func order(_ one: StoredFinding.Key, _ other: StoredFinding.Key) -> Bool {
    if one.kind != other.kind { return one.kind < other.kind }
    if one.host != other.host { return one.host < other.host }
    if one.port != other.port { return one.port < other.port }
    return one.source < other.source
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

extension StoredFinding.Key {
  /// Of one kind, host and port, whatever the source.
  func isOfHost(of other: StoredFinding.Key) -> Bool { kind == other.kind && host == other.host && port == other.port }
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
