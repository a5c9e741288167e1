internal import AccessLogs
internal import EgressPolicy
internal import FlowStore
internal import Flows
internal import Ingestion
internal import Reports

/// Everything there is to say about one flow: the verdict, what it rests on, and the line it comes from.
struct FlowExplanation {
  var id: Int64
  /// The columns of the view `flows`, in their order.
  var columns: [(name: String, value: Value)]
  var verdict: Verdict
  var grounds: Grounds?
  /// Where a later hop should stand and none is joined.
  var nextHop: NextHop?
  var evidence: Evidence

  /// The words of the verdict that `flows` has no column for.
  struct Verdict {
    var severity: String
    var rule: String?
    var assumption: String?
    var exception: Int?
    var isDuplicateView: Bool
    var neverClears: Bool
    var isCounted: Bool
    var claim: Claim?
  }

  /// A bypass that another line or an inventory proves, not the proxy's own line.
  struct Claim {
    var reason: BypassReason
    /// `sidecar` or `gateway`.
    var around: String
    /// What shows it, one sentence each.
    var shownBy: [String]
  }

  struct Evidence {
    var log: String
    /// Row id of the log.
    var logID: Int64
    var line: Int64
    var answer: Answer

    enum Answer {
      case found(LineRecall.Found)
      /// As kept in the store while the log was there, redacted.
      case kept(text: String, why: String)
      case changed(why: String)
      case gone(why: String)
    }
  }

  func text(_ name: String) -> String? {
    switch columns.first(where: { $0.name == name })?.value {
    case .text(let text): text
    case .integer(let number): String(number)
    default: nil
    }
  }

  func integer(_ name: String) -> Int64? { columns.first { $0.name == name }?.value.integer }
}

/// Explains flows of one store; what is asked of the whole store is asked once.
final class FlowExplainer {
  let reader: FlowReader
  private let recall: LineRecall
  /// Asks the policy about the whole store: not made where only lines are wanted.
  private lazy var grounds = Result { try groundsFinder() }
  private var logs: [Int64: LogRecord] = [:]
  private var explained: [Int64: FlowExplanation] = [:]
  let policy: Policy?
  let policyFile: String?

  init(reader: FlowReader, formats: [FormatPlan], folders: [String]) throws {
    self.reader = reader
    recall = LineRecall(formats: formats, folders: folders)
    let stored = try reader.policy()
    policyFile = stored.map { $0.file ?? "stored policy" }
    policy = try stored.map { try Policy.load(yaml: $0.text, file: $0.file ?? "stored policy") }
  }

  private func groundsFinder() throws -> Judge.GroundsFinder {
    let facts = try reader.facts()
    return Judge.GroundsFinder(
      Judge(
        policy: policy, sources: facts.sources, destinations: facts.destinations, outcomes: facts.outcomes,
        logs: facts.logs, topology: facts.topology))
  }

  /// A flow may be asked for twice: for itself, and as a hop of its journey.
  func explanation(of id: Int64) throws -> FlowExplanation? {
    if let known = explained[id] { return known }
    let explanation = try explain(id)
    explained[id] = explanation
    return explanation
  }

  /// The columns and the line of a flow: all of an explanation that asks nothing of the policy.
  func line(of id: Int64) throws -> FlowExplanation? { try explained[id] ?? read(id)?.explanation }

  /// What rows the flow points at.
  private struct Rows {
    var log, source, destination, outcome: Int64
  }

  private func read(_ id: Int64) throws -> (
    explanation: FlowExplanation, rows: Rows, gap: (role: String, kind: String)?
  )? {
    let (names, rows) = try reader.rows("select * from flows where id = :id", arguments: ["id": .integer(id)])
    guard let row = rows.first else { return nil }
    var verdict = FlowExplanation.Verdict(
      severity: "info", isDuplicateView: false, neverClears: false, isCounted: true)
    var gap: (role: String, kind: String)?
    var ids = Rows(log: 0, source: 0, destination: 0, outcome: 0)
    try reader.query(
      """
      select severity, rule, assumption, exception_id, duplicate_view, never_clears, counted, log_id, source_id,
        destination_id, outcome_id, bypass_reason, around, next_hop, next_hop_gap
      from judged_flow
      where id = :id
      """, arguments: ["id": .integer(id)]
    ) { row in
      verdict = FlowExplanation.Verdict(
        severity: row[0].text ?? "info", rule: row[1].text, assumption: row[2].text,
        exception: row[3].integer.map { Int($0) }, isDuplicateView: row[4].integer == 1,
        neverClears: row[5].integer == 1, isCounted: row[6].integer == 1)
      if let reason = row[11].text.flatMap(BypassReason.init), let around = row[12].text {
        verdict.claim = .init(reason: reason, around: around, shownBy: [])
      }
      if let role = row[13].text, let kind = row[14].text { gap = (role, kind) }
      ids = Rows(
        log: row[7].integer ?? 0, source: row[8].integer ?? 0, destination: row[9].integer ?? 0,
        outcome: row[10].integer ?? 0)
    }
    var explanation = FlowExplanation(
      id: id, columns: Array(zip(names, row)).map { ($0.0, $0.1) }, verdict: verdict,
      grounds: nil, evidence: .init(log: "", logID: 0, line: 0, answer: .gone(why: "its log is not known")))
    explanation.evidence.log = explanation.text("log") ?? ""
    explanation.evidence.logID = ids.log
    explanation.evidence.line = explanation.integer("line") ?? 0
    if let log = try log(ids.log), let flow = try wanted(explanation, ids) {
      explanation.evidence.answer = try evidence(of: flow, id: id, in: log)
    }
    return (explanation, ids, gap)
  }

  private func explain(_ id: Int64) throws -> FlowExplanation? {
    guard case (var explanation, let ids, let gap)? = try read(id) else { return nil }
    let startedAt = explanation.integer("started_at_ms") ?? 0
    let isOpen = explanation.text("warnings")?.split(separator: ",").contains("source-unproven") ?? false
    explanation.grounds = try grounds.get().grounds(
      source: ids.source, destination: ids.destination, outcome: ids.outcome, atMs: startedAt,
      client: explanation.verdict.claim.map { .bypassed($0.reason) } ?? (isOpen ? .open : .proven))
    if explanation.verdict.claim != nil {
      let proof = try proof(of: explanation, source: ids.source)
      explanation.verdict.claim?.shownBy = proof
    }
    if let gap {
      explanation.nextHop = try nextHop(
        of: explanation, role: gap.role, gap: gap.kind, source: ids.source, destination: ids.destination)
    }
    return explanation
  }

  private func wanted(_ flow: FlowExplanation, _ rows: Rows) throws -> LineRecall.Flow? {
    guard let source = try reader.source(rows.source), let destination = try reader.destination(rows.destination),
      let outcome = try reader.outcome(rows.outcome)
    else { return nil }
    return LineRecall.Flow(
      line: flow.evidence.line, startedAtMs: flow.integer("started_at_ms") ?? 0,
      durationMs: flow.integer("duration_ms"), sent: flow.integer("bytes_sent"),
      received: flow.integer("bytes_received"), source: source,
      sourcePort: UInt16(clamping: flow.integer("source_port") ?? 0), destination: destination, outcome: outcome)
  }

  /// Nearest places that are tried: a record that its wrapper cut may begin before the nearest.
  private static let marks = 2

  private func evidence(
    of flow: LineRecall.Flow, id: Int64, in log: LogRecord
  ) throws -> FlowExplanation.Evidence.Answer {
    let marks = try reader.marks(before: flow.line, in: log.id, atMost: FlowExplainer.marks)
    switch recall.recall(flow, of: log, from: marks) {
    case .found(let found): return .found(found)
    case .changed(let path, let why):
      return try kept(flow, log, "log changed: \(path): \(why)") ?? .changed(why: "\(path): \(why)")
    case .gone(let why):
      return try kept(flow, log, "log gone: \(why)") ?? .gone(why: why)
    }
  }

  private func kept(
    _ flow: LineRecall.Flow, _ log: LogRecord, _ why: String
  ) throws -> FlowExplanation.Evidence.Answer? {
    try reader.evidence(log: log.id, line: flow.line, startedAtMs: flow.startedAtMs).map { .kept(text: $0, why: why) }
  }

  private func log(_ id: Int64) throws -> LogRecord? {
    if let known = logs[id] { return known }
    let log = try reader.log(id)
    logs[id] = log
    return log
  }
}
