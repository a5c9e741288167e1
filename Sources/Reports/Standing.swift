public import FlowStore
internal import Flows

/// What an answer rests on: what was read, and what stands against "nothing bypassed".
///
/// A false all-clear is the worst thing the program can say; so it is said here and nowhere else, only together with its
/// coverage, and never while anything is unproven, assumed, rejected or missing.
public struct Standing: Sendable, Equatable {

  public private(set) var logs = 0
  public private(set) var read: Int64 = 0
  public private(set) var stored: Int64 = 0
  public private(set) var rejected: Int64 = 0
  public private(set) var skipped: Int64 = 0
  /// Rejected lines of what may write access lines: what prepares a pod for its sidecar does not.
  private var rejectedOfProxies: Int64 = 0
  /// Those of them in logs of which all flows were pruned, by when the log was read last.
  private var rejectedOfPruned: [Int64: Int64] = [:]
  /// Nothing is left of what was stored.
  var isPrunedToNothing: Bool { stored <= pruned }
  /// Of the stored flows, those without a row: only their sums are known.
  public private(set) var tallied: Int64 = 0
  /// Of the logs of which flows are left, where there are any.
  public private(set) var firstMs: Int64?
  public private(set) var lastMs: Int64?
  public private(set) var isJudged = false
  /// Pods stand in an imported topology.
  public private(set) var knowsPods = false
  /// Logs with flows, by the roles that wrote them; empty where that was not noted.
  public private(set) var logsByRole: [RoleCount] = []
  public struct RoleCount: Sendable, Equatable {
    public var roles: String
    public var logs: Int64
  }
  /// Logs of ten lines and more of which none tells of a success: a filter may log failures alone.
  public private(set) var logsWithoutSuccess: Int64 = 0
  /// Logs that look like the last ten lines of each pod.
  public private(set) var tails: Int64 = 0
  /// No log of a sidecar was read, as far as the roles of all logs are known, or nothing is left of it.
  public private(set) var lacksSidecars = false
  /// Some logs of sidecars were pruned to nothing.
  private var hasPrunedSidecars = false
  /// Flows within the limits of time, host and source, second views apart; only counted with the findings.
  public private(set) var asked: Int64 = 0
  /// Logs that were not read to their end: damaged, cut, or not as compressed as they begin.
  public private(set) var unreadRests: Int64 = 0
  /// Logs whose last lines may never have been read: when their last flow ended, and when that was noticed.
  private var lostTails: [ClosedRange<Int64>] = []
  /// Logs that hold lines and not one access line: the proxy may write these elsewhere, or not at all, or in a format that looks like
  /// its other messages.
  public private(set) var mute: Int64 = 0
  /// Logs with blocks of NUL bytes inside.
  public private(set) var withHoles: Int64 = 0
  /// Bytes of last lines that have no end yet.
  public private(set) var pending: Int64 = 0
  /// Flows that were removed, and up to which start; nil where that was not noted.
  public private(set) var pruned: Int64 = 0
  public private(set) var prunedBeforeMs: Int64?
  /// Time asked about of which nothing was read; only looked for with the findings.
  public internal(set) var unread: [Unread] = []
  public struct Unread: Sendable, Equatable {
    /// Of a sidecar, while something else was read; else of any log.
    public var isOfSidecars: Bool
    public var fromMs: Int64
    public var untilMs: Int64
    /// All of the time asked about.
    public var isAll: Bool
  }
  /// Pods with a sidecar, by the imported topology, of which nothing was read; only looked for with the findings.
  public internal(set) var unreadSidecars: Int64 = 0
  /// Pods that ztunnel carries, by the imported topology, whose log nothing understands; only looked for with the findings.
  public internal(set) var ambientPods: Int64 = 0
  /// Telemetries of the imported topology that keep lines of what pods send out of their log; only looked for with the findings.
  public internal(set) var silencingTelemetries: [String] = []
  /// Sidecars whose log is silent while there is evidence that their pod lived; only looked for with the findings.
  public internal(set) var silentSidecars: [SilentSidecar] = []
  /// Flows handed on to a gateway or proxy whose log was not read for their time; only counted with the findings.
  public internal(set) var nextHopsNotRead: Int64 = 0
  /// Silences of logs that are much longer than usual; only looked for with the findings.
  public internal(set) var gaps = Gaps()
  public struct Gaps: Sendable, Equatable {
    public var logs = 0
    public var longestMs: Int64 = 0
    /// How many of the newest flows, of the time asked about, were looked at; nil for all.
    public var among: Int64?
  }
  /// Second views of connections around the gateway of which no end was read; only counted with the findings.
  public internal(set) var unended: Int64 = 0
  /// Lines of Squid's side logs of whose requests no access log was read; only counted with the findings.
  var sideLines: Int64 = 0
  /// Flows without a name that may have gone to the host asked about; only counted with the findings.
  var nameless: [Nameless] = []
  /// Flows around the gateway, or on a way that nothing proves, that may be of the source asked about; see `countSourceless`.
  var sourceless: Int64 = 0
  /// Flows that bypassed the gateway and that no exception allows, and those that one allows; nil when not asked.
  public private(set) var bypassed: Bypassed?
  public struct Bypassed: Sendable, Equatable {
    public var flows: Int64
    public var allowed: Int64
  }
  /// What stands against an all-clear, one sentence each.
  public private(set) var doubts: [String] = []
  /// What was assumed, as the judgement says it.
  public private(set) var assumptions: [String] = []

  /// Some lines have times without a zone; without a day or an hour.
  private var hasTimesWithoutZone = false
  private var hasTimesWithoutDay = false
  /// Some entry of the policy holds for a time alone.
  private var isPolicyDated = false
  /// The time asked about begins later than what is stored.
  private var asksSince = false
  /// Within which limits findings are still to be counted.
  private var uncounted: Filters?

  /// Assumptions that are named in full below a report; the rest are counted.
  static let namedAssumptions = 5

  /// Reads what every report needs; with `findings`, also counts bypass and unproven flows, within the same limits of
  /// time, host and source as the report.
  public init(of store: FlowReader, filters: Filters = Filters(), findings: Bool) throws {
    try self.init(of: store, filters: filters, findings: findings, usesTallies: true)
  }

  /// The same for a report that is still to be written, and counts findings in the pass that it makes anyway.
  public static func awaited(of store: FlowReader, filters: Filters, by report: Query) throws -> Standing {
    var standing = try Standing(of: store, findings: false)
    guard isAsked(by: report.name) else { return standing }
    standing.uncounted = filters
    try standing.findUnread(in: store, filters: filters)
    try standing.findGaps(in: store, filters: filters)
    return standing
  }

  /// SQL: lines of a log that another input had held, and which were stored from that one (`--overlap`).
  static let seenBefore = """
    coalesce((select count from line_count where log = log.id and what = 'skipped' and name = 'seen-before'), 0)
    """

  init(of store: FlowReader, filters: Filters, findings: Bool, usesTallies: Bool) throws {
    try store.query(
      """
      select count(*), sum(read), sum(stored), sum(rejected), sum(skipped),
        -- A log of which nothing is left stands for no time.
        coalesce(min(case when stored > pruned then first_ms end), min(first_ms)),
        coalesce(max(case when stored > pruned then last_ms end), max(last_ms)),
        -- With records whose last part was not read: behind a length for each of two streams.
        sum(pending + max(coalesce(length(carry), 0) - 8, 0)),
        sum(tallied), sum(pruned), (select cast(value as integer) from meta where key = 'pruned_before_ms'),
        sum(unread is not null and unread <> 'tail'),
        sum(case when coalesce(container, '') not in ('istio-init', 'istio-validation') then rejected else 0 end),
        -- What prepares a pod for its sidecar writes no access lines.
        sum(stored = 0 and rejected = 0 and read > \(Standing.seenBefore)
          and coalesce(container, '') not in ('istio-init', 'istio-validation')),
        (select count(*) from line_count where what = 'skipped' and name = 'nul-hole')
      from log
      """
    ) { row in
      logs = Int(row[0].integer ?? 0)
      read = row[1].integer ?? 0
      stored = row[2].integer ?? 0
      rejected = row[3].integer ?? 0
      skipped = row[4].integer ?? 0
      firstMs = row[5].integer
      lastMs = row[6].integer
      tallied = row[8].integer ?? 0
      pruned = row[9].integer ?? 0
      prunedBeforeMs = pruned > 0 ? row[10].integer : nil
      unreadRests = row[11].integer ?? 0
      rejectedOfProxies = row[12].integer ?? 0
      mute = row[13].integer ?? 0
      withHoles = row[14].integer ?? 0
      pending = row[7].integer ?? 0
    }
    try store.query(
      "select coalesce(last_ms, last_read_at_ms), last_read_at_ms from log where unread = 'tail' order by id"
    ) { row in
      let end = row[0].integer ?? .min
      lostTails.append(end...max(end, row[1].integer ?? .max))
    }
    try store.query(
      """
      select max(last_read_at_ms, last_ms), sum(rejected)
      from log
      where rejected > 0
        and pruned > 0
        and stored = pruned
        and coalesce(container, '') not in ('istio-init', 'istio-validation')
      group by 1
      order by 1
      """
    ) { row in
      if let readMs = row[0].integer { rejectedOfPruned[readMs] = row[1].integer }
    }
    try readSigns(store)
    try store.query("select value from meta where key = 'judged'") { isJudged = $0[0].text == "1" }
    knowsPods = try Standing.knowsPods(store)
    try store.query("select text from assumption order by id") { assumptions.append($0[0].text ?? "") }
    try store.query(
      """
      select
        max(warnings & \(Warnings.zoneAssumed.rawValue)), max(warnings & \(Warnings.dayAssumed.rawValue)),
        (select count(*) from policy_interval)
      from outcome
      """
    ) { row in
      hasTimesWithoutZone = row[0].integer ?? 0 > 0
      hasTimesWithoutDay = row[1].integer ?? 0 > 0
      isPolicyDated = row[2].integer ?? 0 > 1
    }
    guard findings else { return }
    try findUnread(in: store, filters: filters)
    try countFindings(in: store, filters: filters, usingTallies: usesTallies)
    try findGaps(in: store, filters: filters)
  }

  static func knowsPods(_ store: FlowReader) throws -> Bool {
    try store.value("select exists (select 1 from topology_object where kind = 'pod')")?.integer == 1
  }

  private mutating func readSigns(_ store: FlowReader) throws {
    var counts: [String: Int64] = [:]
    var known = 0
    var holding = 0
    var hasSidecar = false
    try store.query(
      """
      select coalesce(l.declared_role, g.roles), g.has_success = 0 and l.stored >= \(FlowStore.linesOfASign), g.is_tail,
        l.stored > l.pruned
      from log l
      left join log_sign g on g.log = l.id
      where l.stored > 0
      order by l.id
      """
    ) { row in
      // Of what is stored a log that was pruned to nothing says nothing.
      guard row[3].integer == 1 else {
        let isSidecar = row[0].text?.split(separator: ",").contains { $0 == Role.sidecar.rawValue } ?? false
        hasPrunedSidecars = hasPrunedSidecars || isSidecar
        return
      }
      holding += 1
      logsWithoutSuccess += row[1].integer ?? 0
      tails += row[2].integer ?? 0
      guard let text = row[0].text else { return }
      known += 1
      let roles = text.split(separator: ",").compactMap { Role(rawValue: String($0)) }
      hasSidecar = hasSidecar || roles.contains(.sidecar)
      // A sidecar writes both sides of its pod's traffic.
      let named = roles.contains(.sidecar) ? roles.filter { $0 != .inbound } : roles
      counts[named.map(\.rawValue).joined(separator: "+"), default: 0] += 1
    }
    guard known == holding else { return }
    lacksSidecars = holding > 0 && !hasSidecar
    logsByRole = counts.sorted { $0.key < $1.key }.map { RoleCount(roles: $0.key, logs: $0.value) }
  }

  /// Whether a report should count findings too.
  var awaitsFindings: Bool { uncounted != nil }

  /// - Parameter found: what the report counted; nil where that is left to do.
  mutating func complete(with found: TalliedFindings?, in store: FlowReader) throws {
    guard let filters = uncounted else { return }
    uncounted = nil
    if let found {
      try countBeside(in: store, filters: filters)
      var limits = filters
      (limits.paths, limits.outcomes) = ([], [])
      take(found, within: limits)
    } else {
      try countFindings(in: store, filters: filters, usingTallies: true)
    }
  }

  mutating func countFindings(in store: FlowReader, filters: Filters, usingTallies: Bool) throws {
    let query = try QueryHeader.parse(Standing.findings, file: "standing")
    var limits = filters
    // What is asked is what stands against an all-clear in this time and place, whichever way or end is shown above.
    limits.paths = []
    limits.outcomes = []
    let arguments = try limits.arguments(for: query, in: store)
    try countBeside(in: store, filters: filters, usingTallies: usingTallies)
    take(try Standing.found(query, arguments, in: store, usingTallies: usingTallies), within: limits)
  }

  /// Counts what stands against an all-clear beside the findings within the limits.
  private mutating func countBeside(in store: FlowReader, filters: Filters, usingTallies: Bool = true) throws {
    let destinations = try filters.host.map { try NamelessDestinations(of: $0, in: store) } ?? NamelessDestinations()
    try countUnended(in: store, filters: filters, or: destinations, usingTallies: usingTallies)
    try countSideLines(in: store, filters: filters, or: destinations)
    try countNameless(destinations, in: store, filters: filters, usingTallies: usingTallies)
    try countSourceless(in: store, filters: filters, usingTallies: usingTallies)
  }

  private mutating func take(_ found: TalliedFindings, within filters: Filters) {
    var counts: [String: Int64] = [:]
    asked = 0
    for (what, gap, flows) in found.rows {
      asked += flows
      if let what { counts[what, default: 0] += flows }
      if gap == "next-hop-not-read" { nextHopsNotRead += flows }
    }
    bypassed = Bypassed(
      flows: counts.removeValue(forKey: "bypass") ?? 0,
      allowed: (counts.removeValue(forKey: "allowed") ?? 0) + (counts["exception-assumed"] ?? 0))
    weigh(counts.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }, within: filters)
  }

  private mutating func weigh(_ unproven: [(why: String, flows: Int64)], within filters: Filters) {
    asksSince = filters.sinceMs.map { $0 > firstMs ?? .max || pruned > 0 } ?? false
    if logs == 0 || stored == 0 { doubts.append("no line of any log is stored") }
    if stored > 0, isPrunedToNothing { doubts.append("all flows that were stored were pruned") }
    doubts += doubtsOfNothing(within: filters) + doubtsOfPruned(within: filters)
    if hasTimesWithoutZone, filters.sinceMs != nil || filters.untilMs != nil {
      doubts.append(
        "some lines have times without a zone, taken for UTC: which of them belong to the time asked about is not known"
      )
    }
    if hasTimesWithoutDay, filters.sinceMs != nil || filters.untilMs != nil {
      doubts.append(
        "some lines have times that leave open the day or the hour: which of them belong to the time asked about is not known"
      )
    } else if hasTimesWithoutDay, isPolicyDated {
      doubts.append(
        "some lines have times that leave open the day or the hour: which entries of the policy held then is not known")
    }
    if !isJudged { doubts.append("lines were stored after the last judging: their way is not known yet") }
    for (why, flows) in unproven {
      let count = flows == 1 ? "1 flow" : "\(Quantities.grouped(flows)) flows"
      switch why {
      case "not-judged": doubts.append("\(count) without a verdict")
      case "ambiguous-columns": doubts.append("\(count) whose lines can be read in more than one way")
      case "path-unknown": doubts.append("\(count) on an unknown path")
      case "assumption": doubts.append("\(count) whose path rests on an assumption")
      case "exception-assumed":
        doubts.append("\(count) that an exception allows on an assumption (see: gatewatch report unproven)")
      case "source-unproven": doubts.append("\(count) at a proxy whose client no other log accounts for")
      default: doubts.append("\(count): \(why)")
      }
    }
    if unended > 0 {
      doubts.append(Standing.sentence(ofUnended: unended))
    }
    if sideLines > 0 { doubts.append(Standing.sentence(ofSideLines: sideLines)) }
    if let host = filters.host { doubts += nameless.map { Standing.sentence(of: $0, host: host) } }
    if sourceless > 0 { doubts.append(Standing.sentence(ofSourceless: sourceless)) }
    if lacksSidecars { doubts.append(withoutSidecars) }
    doubts += signs + unreadPods
    let tails = lostTails.count {
      $0.upperBound >= filters.sinceMs ?? .min && $0.lowerBound < filters.untilMs ?? .max
    }
    if tails > 0 {
      doubts.append(
        "\(tails) \(tails == 1 ? "log was" : "logs were") rotated away, cut or written over, and what came after the last reading was not read (see: gatewatch report coverage)"
      )
    }
    // A rejected line has no time, but it is older than the reading of it.
    let since = filters.sinceMs ?? .min
    let rejected = rejectedOfPruned.reduce(rejectedOfProxies) { $1.key < since ? $0 - $1.value : $0 }
    if rejected > 0 {
      let lines = rejected == 1 ? "line" : "lines"
      doubts.append("\(Quantities.grouped(rejected)) rejected \(lines) (see: gatewatch report rejected)")
    }
    if !assumptions.isEmpty {
      doubts.append(
        "\(assumptions.count) \(assumptions.count == 1 ? "assumption" : "assumptions") (see: gatewatch report assumptions)"
      )
    }
  }

  // MARK: In words

  private var roles: String {
    logsByRole.isEmpty
      ? "" : " (\(logsByRole.map { "\(Quantities.grouped($0.logs)) \($0.roles)" }.joined(separator: ", ")))"
  }

  /// What was read, in one sentence.
  public var coverage: String {
    guard logs > 0 else { return "no log was read" }
    var text =
      "\(Quantities.grouped(Int64(logs))) \(logs == 1 ? "log" : "logs")\(roles), \(Quantities.grouped(read)) lines read"
    text +=
      " = \(Quantities.grouped(stored)) stored + \(Quantities.grouped(rejected)) rejected + \(Quantities.grouped(skipped)) skipped"
    if tallied > 0 {
      text += " (\(Quantities.grouped(tallied)) of the stored kept as sums alone, their hops not joined)"
    }
    if let firstMs, let lastMs {
      let first = min(max(firstMs, prunedBeforeMs ?? .min), lastMs)
      text += "; flows from \(Quantities.iso(first)) to \(Quantities.iso(lastMs))"
    }
    if pruned > 0 { text += "; \(prunedFlows)" }
    for sign in signs + silences + unreadPods { text += "; \(sign)" }
    return text
  }

  /// What was read, for one who hears nothing else while no finding is new.
  var coverageOfSilence: String { lacksSidecars ? "\(coverage); \(withoutSidecars)" : coverage }

  var prunedFlows: String {
    let flows = "\(Quantities.grouped(pruned)) \(pruned == 1 ? "flow" : "flows")"
    return flows + (prunedBeforeMs.map { " from before \(Quantities.iso($0))" } ?? "") + " were pruned"
  }

  private var withoutSidecars: String {
    let what = hasPrunedSidecars ? "all flows of sidecars' logs were pruned" : "no log of a sidecar was read"
    return "\(what): what pods send past the gateway stands in no other log"
  }

  /// What speaks against whole logs: signs, no facts.
  private var signs: [String] {
    var signs: [String] = []
    if logsWithoutSuccess > 0 {
      signs.append(
        "\(logsWithoutSuccess) \(logsWithoutSuccess == 1 ? "log tells" : "logs tell") of no success, perhaps by a filter (see: gatewatch report coverage)"
      )
    }
    if tails > 0 {
      signs.append(
        "\(tails) \(tails == 1 ? "log looks" : "logs look") like the last ten lines of each pod (see: gatewatch report coverage)"
      )
    }
    if mute > 0 {
      signs.append(
        "\(mute) \(mute == 1 ? "log holds" : "logs hold") no access line at all (see: gatewatch report coverage)")
    }
    if withHoles > 0 {
      signs.append(
        "\(withHoles) \(withHoles == 1 ? "log holds" : "logs hold") NUL bytes where lines may have been (see: gatewatch report coverage)"
      )
    }
    if unreadRests > 0 {
      signs.append(
        "\(unreadRests) \(unreadRests == 1 ? "log was" : "logs were") not read to the end (see: gatewatch report coverage)"
      )
    }
    return signs
  }

  /// Whether traffic went around the gateway, as far as the logs that were read can tell.
  public var statement: String? {
    guard let bypassed else { return nil }
    if bypassed.flows > 0 {
      let text =
        "\(Quantities.grouped(bypassed.flows)) \(bypassed.flows == 1 ? "flow" : "flows") left around the egress gateway"
      return doubts.isEmpty ? text : text + "; and perhaps more: " + doubts.joined(separator: "; ")
    }
    if doubts.isEmpty {
      let earlier = asksSince ? "; what began before the time asked about, and went on in it, is not looked at" : ""
      return "no bypass found in what was read: \(coverage)\(earlier); what no log holds, no report can see"
    }
    return "no bypass is proven, but this is no all-clear: " + doubts.joined(separator: "; ")
  }

  /// The sentences below a report.
  func notes(for report: String) -> [String] {
    var notes: [String] = []
    if !isJudged, logs > 0, statement == nil {
      notes.append("lines were stored after the last judging: run gatewatch ingest or gatewatch report again")
    }
    if !knowsPods, Standing.needsTopology.contains(report) {
      let what = report == "unread" ? " of pods without any line" : ""
      notes.append("no topology with pods was imported, so this says nothing\(what) (see: gatewatch topology import)")
    }
    if let statement { notes.append(statement) }
    if let allowed = bypassed?.allowed, allowed > 0 {
      notes.append(
        "\(Quantities.grouped(allowed)) \(allowed == 1 ? "flow" : "flows") around the gateway allowed by exceptions of the policy"
      )
    }
    if statement != nil {
      for assumption in assumptions.prefix(Standing.namedAssumptions) { notes.append("assumed: \(assumption)") }
      if assumptions.count > Standing.namedAssumptions {
        notes.append("and \(assumptions.count - Standing.namedAssumptions) more: gatewatch report assumptions")
      }
    }
    return notes
  }

  /// Reports that know only what the cluster told.
  static let needsTopology: Set<String> = ["unread", "opted-out"]

  /// Reports whose reader looks for bypass, and so must be told what stands against an all-clear.
  public static func isAsked(by report: String) -> Bool { ["summary", "bypass", "unproven"].contains(report) }
}
