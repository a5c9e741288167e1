public import FlowStore
public import Flows

/// A log that the policy expects to be written to.
public struct ExpectedLog: Sendable, Equatable {
  /// Glob over the log's path, or over its end behind a slash, without regard to case; nil means any log.
  public var log: String?
  public var role: Role?
  public var maxSilenceMs: Int64?
  /// The policy says which gateways there are: what is only taken for one's line is none.
  public var knowsGateways: Bool

  public init(log: String?, role: Role?, maxSilenceMs: Int64?, knowsGateways: Bool = false) {
    self.log = log
    self.role = role
    self.maxSilenceMs = maxSilenceMs
    self.knowsGateways = knowsGateways
  }
}

/// One run of `gatewatch alert`: asks the alert queries, weighs what they saw against what was told before, has it
/// printed, and only then records it.
///
/// The record is committed after the printing, in one transaction with the mark: a run that dies in between tells the same
/// findings again. To repeat an alert once is better than to lose it. The store's lock is held throughout, so that a
/// second run at the same time waits, and then finds nothing new.
public struct AlertRun: Sendable {
  private let queries: [Query]
  private let rules: AlertLedger.Rules
  private let expected: [ExpectedLog]
  private let inputProblems: [String]
  /// What must have been read for silence to mean that nothing happened.
  public var requirements: [CoverageRequirement] = []
  /// Whether the faster twins of the built-in queries may answer; a test compares with and without.
  var usesTallies = true

  /// Columns that every alert query answers with.
  static let columns = ["kind", "severity", "source", "host", "port", "flows", "first_seen", "last_seen"]
  /// Columns that a query may have beside these.
  static let optionalColumns = ["around", "reason", "sender"]
  /// Problems of one sort that are named; the rest are counted.
  static let namedProblems = 5

  /// - Parameter inputProblems: what went wrong before, while the logs were read; each a sentence with its place.
  public init(
    queries: [Query], rules: AlertLedger.Rules, expected: [ExpectedLog] = [], inputProblems: [String] = []
  ) {
    self.queries = queries
    self.rules = rules
    self.expected = expected
    self.inputProblems = inputProblems
  }

  /// - Parameter tell: prints the report; what it throws leaves everything to be told again.
  public func run(in store: FlowStore, tell: (AlertReport) throws -> Void) throws -> AlertReport {
    let reader = try store.reader()
    var report = AlertReport(problems: inputProblems)
    var standing = try Standing(of: reader, findings: false)
    try standing.findUnreadSidecars(in: reader)
    report.coverage = standing.coverageOfSilence
    let before = try store.alertMark()
    let mark = try store.presentAlertMark()
    let after = AlertRun.lowerBound(before: before, present: mark)
    var newLines = NewLines()
    try newLines.weighLines(in: reader)
    if standing.isJudged { try newLines.weighFlows(after: after, in: reader) }
    report.problems += try problems(standing, newLines, after: after, of: store, in: reader)

    let complete = try AlertRun.completeness(after: after, knowing: before?.destination ?? 0, in: reader)
    if complete.kinds != [] { store.settle() }
    let seen = try observations(in: reader, after: after, complete: complete)
    let (known, untold) = try known(seen, complete, isWhole: after == nil, in: store)
    let isPruned = before.map { $0.pruned != mark.pruned } ?? false
    let isOnlyPruned = isPruned && before?.policy == mark.policy
    let new = isPruned ? try newFlows(in: reader, after: before?.flow ?? 0) : [:]
    let step = AlertLedger.step(
      known: known, seen: seen, complete: complete, new: new, isOnlyPruned: isOnlyPruned, rules: rules)
    // What was never judged says nothing yet: neither that something is new nor that something is gone.
    guard standing.isJudged else {
      try tell(report)
      return report
    }
    report.add(step, isFirstRun: before == nil && standing.stored > 0)
    if !report.isSilent {
      // What was judged last may not have reached the file yet, where silences are found page by page.
      store.settle()
      try standing.lookForSilences(in: reader, after: after)
      report.coverage = standing.coverage
    }
    try tell(report)
    // An empty store is no first run: everything would be new in the second.
    guard standing.stored > 0 else { return report }
    try store.save(
      step.changed, mark: mark, dueMs: dueMs(after: step, untold, in: store, isWhole: after == nil))
    try store.note(weighed: newLines.weighed, carried: newLines.carried)
    try store.commit()
    return report
  }

  /// Where only new flows were looked at, only what they show can change, and what is to be told again because its pause is over.
  /// - Returns: findings, and those of them that went on since they were told; nil where these were not looked for.
  private func known(
    _ seen: [Observation], _ complete: AlertLedger.Completeness, isWhole: Bool, in store: FlowStore
  ) throws -> (all: [StoredFinding], untold: [StoredFinding]?) {
    if isWhole { return (try store.findings(), nil) }
    let keys = Set(seen.map(\.key))
    let known = try store.findings(among: keys, andOf: complete.kinds ?? [])
    if let due = try store.untoldDueMs(), due > rules.now { return (known, nil) }
    let untold = try store.untoldFindings().filter { !keys.contains($0.key) && !complete.holds($0.key.kind) }
    return (known + untold, untold)
  }

  /// When the first of the findings that go on is to be told.
  private func dueMs(
    after step: AlertLedger.Step, _ untold: [StoredFinding]?, in store: FlowStore, isWhole: Bool
  ) throws -> Int64? {
    if isWhole { return nil }
    let changed = AlertLedger.dueMs(step.changed, rules) ?? .max
    guard let untold else { return try store.untoldDueMs().map { min($0, changed) } }
    let told = Set(step.changed.map(\.key))
    return min(AlertLedger.dueMs(untold.filter { !told.contains($0.key) }, rules) ?? .max, changed)
  }

  /// The flow up to which nothing needs another look; nil when everything does.
  static func lowerBound(before: AlertMark?, present: AlertMark) -> Int64? {
    guard let before, before.judgement == present.judgement, before.pruned == present.pruned,
      before.flow <= present.flow
    else { return nil }
    return before.flow
  }

  /// What is to be looked at whole, because flows that were looked at long ago become findings by lines that are read later: where
  /// a client of a gateway or a proxy may be called a bypass, and where proxies are first seen to find a name elsewhere.
  /// - Parameter destination: the last one that was known when flows were looked at before.
  static func completeness(
    after: Int64?, knowing destination: Int64, in reader: FlowReader
  ) throws -> AlertLedger.Completeness {
    guard after != nil else { return .all }
    let isAny = try reader.value("select exists (select 1 from route_verdict where claim is not null)")?.integer == 1
    var complete: AlertLedger.Completeness = isAny ? .claimsAndNewFlows : .newFlows
    if try SuspicionOutlook.knowsMore(since: destination, in: reader) {
      complete.formUnion([AlertLedger.authorityAddress])
    }
    return complete
  }

  func observations(
    in reader: FlowReader, after: Int64?, complete: AlertLedger.Completeness = .newFlows
  ) throws -> [Observation] {
    var seen: [Observation] = []
    for query in queries {
      guard let after else {
        seen += try observations(of: query, in: reader)
        continue
      }
      seen += try observations(of: query, in: reader, after: after).filter {
        !complete.holds($0.key.kind) || !AlertRun.shows($0.key.kind, query)
      }
      if let kinds = complete.kinds, kinds.contains(where: { AlertRun.shows($0, query) }) {
        seen += try observations(of: query, in: reader).filter { complete.holds($0.key.kind) }
      }
    }
    return seen
  }

  /// Whether it is the query that finds what may have to be looked at whole.
  private static func shows(_ kind: String, _ query: Query) -> Bool {
    query.name == (kind == AlertLedger.authorityAddress ? "suspicious" : "bypass")
  }

  /// What was stored since the last run, by finding. Queries that always look at everything do not say.
  private func newFlows(in reader: FlowReader, after: Int64) throws -> [StoredFinding.Key: Int64] {
    var new: [StoredFinding.Key: Int64] = [:]
    for query in queries where query.takes("after") {
      for seen in try observations(of: query, in: reader, after: after) {
        new[seen.key] = (new[seen.key] ?? 0).plus(seen.flows)
      }
    }
    return new
  }

  private func observations(of query: Query, in reader: FlowReader, after: Int64? = nil) throws -> [Observation] {
    if usesTallies {
      if let after {
        if try !SuspicionOutlook.isOpen(for: query, after: after, in: reader) { return [] }
      } else if let all = try TalliedAlerts.observations(of: query, in: reader) {
        return all
      }
    }
    var seen: [Observation] = []
    var order: [Int] = []
    var more: [Int?] = []
    try reader.query(
      query.sql, arguments: query.takes("after") ? ["after": Value(after)] : [:],
      columns: { names in
        order = try AlertRun.columns.map { name in
          guard let index = names.firstIndex(of: name) else {
            throw ReportError(
              file: query.file, "has no column \"\(name)\"",
              help: "an alert query answers with \(AlertRun.columns.joined(separator: ", "))")
          }
          return index
        }
        more = AlertRun.optionalColumns.map { names.firstIndex(of: $0) }
      },
      row: { row in
        let values = order.map { row[$0] }
        guard let severity = Severity(rawValue: values[1].text ?? "") else {
          throw ReportError(
            file: query.file, "severity \"\(TerminalText.safe(values[1].text ?? "NULL"))\" is not known",
            help: "answer with info, warning or critical")
        }
        seen.append(
          Observation(
            key: .init(
              kind: values[0].text ?? query.name, source: values[2].text ?? "", host: values[3].text ?? "",
              port: values[4].integer ?? 0),
            severity: severity, flows: values[5].integer ?? 0, firstSeenMs: values[6].integer,
            lastSeenMs: values[7].integer,
            ways: BypassedWay(around: more[0].flatMap { row[$0].text }, reason: more[1].flatMap { row[$0].text })
              .map { [$0] } ?? [], senders: more[2].flatMap { row[$0].text }.map { [$0] } ?? []))
      })
    return seen
  }

  // MARK: Why silence could be deceptive

  private func problems(
    _ standing: Standing, _ newLines: NewLines, after: Int64?, of store: FlowStore, in reader: FlowReader
  ) throws -> [String] {
    var problems: [String] = []
    if standing.logs == 0 || standing.stored == 0 {
      problems.append("the database is empty: no line of any log is stored")
    } else if standing.isPrunedToNothing {
      problems.append("the database is empty: all flows that were stored were pruned")
    }
    let unseen = try store.prunedUnseen
    if unseen > 0 {
      problems.append(
        "\(Quantities.grouped(unseen)) \(unseen == 1 ? "flow was" : "flows were") pruned before any alert had looked at \(unseen == 1 ? "it" : "them")"
      )
    }
    if !standing.isJudged, standing.stored > 0 {
      problems.append("lines were stored after the last judging, and could not be judged")
    }
    problems += try mostlyRejected(newLines, in: reader)
    if standing.isJudged {
      problems += AlertRun.named(newLines.unknown, "logs of which most new flows are on an unknown path")
      problems += try unended(standing, after: after, in: reader)
      let sideLines = try Standing.sideLines(after: after, in: reader)
      if sideLines > 0 { problems.append(Standing.sentence(ofSideLines: sideLines)) }
    }
    problems += try unread(in: reader)
    let lines = expected.contains { $0.role != nil } ? try RoleLines.byLog(in: reader) : [:]
    for log in expected {
      if let problem = try silence(of: log, lines, in: reader) { problems.append(problem) }
    }
    var lastDay = Filters()
    lastDay.sinceMs = rules.now - CoverageRequirement.alertWindowMs
    lastDay.untilMs = rules.now
    for requirement in requirements {
      problems += try requirement.problems(in: reader, filters: lastDay, now: rules.now)
    }
    return problems
  }

  /// What was read just now and was mostly not understood: the format of a log has changed, perhaps, of which the lines of former
  /// days say nothing.
  /// - Parameter files: lines that should be flows, and those of them that were rejected.
  public static func problems(ofReading files: [(path: String, lines: Int, rejected: Int)]) -> [String] {
    named(
      files.filter { $0.rejected >= NewLines.few && $0.rejected * 2 > $0.lines }.map {
        mostlyRejected($0.path, Int64($0.rejected), of: Int64($0.lines))
      }, "logs of which most new lines were rejected")
  }

  static func mostlyRejected(_ path: String, _ rejected: Int64, of lines: Int64) -> String {
    "\(path): \(Quantities.grouped(rejected)) of \(Quantities.grouped(lines)) lines rejected (see: gatewatch report rejected)"
  }

  private static func named(_ problems: [String], _ more: String) -> [String] {
    problems.first(namedProblems) { "\($0) more \(more)" }
  }

  private func mostlyRejected(_ newLines: NewLines, in reader: FlowReader) throws -> [String] {
    var mute: [(path: String, problem: String)] = []
    try reader.query(
      """
      select path, read, stored, rejected
      from log
      where read > case stored when 0 then \(Standing.seenBefore) else 0 end
        -- What prepares a pod for its sidecar writes no access lines.
        and coalesce(container, '') not in ('istio-init', 'istio-validation')
        and (stored = 0 or (rejected > stored and rejected >= \(NewLines.few)))
        -- Of a file of something else, that is said for a day; of a log that goes on, for as long as it does.
        and coalesce(last_read_at_ms, :day) >= :day
      order by path, id
      """, arguments: ["day": .integer(rules.now - CoverageRequirement.alertWindowMs)]
    ) { row in
      let (path, read) = (row[0].text ?? "", row[1].integer ?? 0)
      let (stored, rejected) = (row[2].integer ?? 0, row[3].integer ?? 0)
      let problem =
        stored == 0
        ? "\(path): \(Quantities.grouped(read)) \(read == 1 ? "line" : "lines") read and none stored (see: gatewatch report rejected)"
        : AlertRun.mostlyRejected(path, rejected, of: stored + rejected)
      mute.append((path, problem))
    }
    let all = Set(mute.map(\.path))
    mute += newLines.rejected.filter { !all.contains($0.path) }
    // It may have been said of what was read just now.
    return AlertRun.named(
      mute.filter { log in !inputProblems.contains { $0.hasPrefix("\(log.path): ") } }.map(\.problem),
      "logs of which no line was stored, or most were rejected")
  }

  /// A tunnel around the gateway becomes a finding by the line of its end, which may be days away.
  private func unended(_ standing: Standing, after: Int64?, in reader: FlowReader) throws -> [String] {
    let count: Int64
    if let after {
      count = try Standing.unended(after: after, in: reader)
    } else {
      var whole = standing
      try whole.countUnended(in: reader, filters: Filters())
      count = whole.unended
    }
    return count > 0 ? [Standing.sentence(ofUnended: count)] : []
  }

  /// Logs of which the last day's reading found something that it could not read. What a file that is still being compressed
  /// lacks comes with the next run.
  private func unread(in reader: FlowReader) throws -> [String] {
    var unread: [String] = []
    try reader.query(
      """
      select path, unread
      from log
      where unread is not null
        -- A file that does not change is not read again: what was passed over while it was young is said once it is not.
        and max(last_read_at_ms, coalesce(mtime_ns / 1000000 + :compressing, 0)) >= :day
        and (unread <> 'cut' or coalesce(mtime_ns / 1000000, 0) < :settled)
      order by path, id
      """,
      arguments: [
        "day": .integer(rules.now - CoverageRequirement.alertWindowMs),
        "compressing": .integer(AlertRun.compressingMs),
        "settled": .integer(rules.now - AlertRun.compressingMs),
      ]
    ) { row in
      let path = row[0].text ?? ""
      guard !inputProblems.contains(where: { $0.hasPrefix("\(path): ") }) else { return }
      unread.append("\(path): \(UnreadRest.sentence(row[1].text ?? ""))")
    }
    return AlertRun.named(unread, "logs that were not read to their end")
  }

  /// So long after a compressed file was last written to, more may be on its way.
  private static let compressingMs: Int64 = 600_000

  private func silence(
    of log: ExpectedLog, _ lines: [Int64: RoleLines], in reader: FlowReader
  ) throws -> String? {
    var last: Int64?
    var logs = 0
    try reader.query(
      """
      select l.id, l.last_ms, l.declared_role
      from log l
      where (:log is null or lower(l.path) glob lower(:log) or lower(l.path) glob '*/' || lower(:log))
      order by l.id
      """, arguments: ["log": Value(log.log)]
    ) { row in
      var end = row[1].integer
      // The role of a log is the one that was declared, or one that its lines have: not one they could have.
      if let role = log.role {
        if let declared = row[2].text {
          guard declared == role.rawValue else { return }
        } else {
          guard let lines = lines[row[0].integer ?? 0], let last = lines.last(of: role, log) else { return }
          // Lines of others in the same log say nothing of it.
          if !lines.isOne { end = last }
        }
      }
      logs += 1
      if let end { last = max(last ?? end, end) }
    }
    let name = [log.role?.rawValue, log.log].compactMap { $0 }.joined(separator: " ")
    guard logs > 0 else { return "expected log \(name): none was read" }
    guard let last else { return "expected log \(name): it holds no flow" }
    if log.maxSilenceMs != nil, let problem = CoverageRequirement.futureProblem(last, now: rules.now) {
      return "expected log \(name): \(problem)"
    }
    guard let limit = log.maxSilenceMs, rules.now.since(last) > limit else { return nil }
    return
      "expected log \(name): silent since \(Quantities.iso(last, showsMilliseconds: false)), for \(Quantities.duration(Double(rules.now.since(last)))) (at most \(Quantities.duration(Double(limit))))"
  }
}
