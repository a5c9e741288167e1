internal import FlowStore
internal import Flows
internal import Reports

/// What a person wants explained: flows, or a finding.
enum ExplainTarget: Equatable {
  /// Row id of a flow, as `gatewatch flows` shows it.
  case flow(Int64)
  /// A line of a log: `access.log:12`.
  case line(log: String, number: Int64)
  /// Row id of a finding that `gatewatch alert` recorded.
  case finding(Int64)
  /// `KIND:SOURCE:HOST:PORT`, not yet taken apart: names may hold colons.
  case key(kind: String, rest: String)

  private static let findingPrefix = "finding:"

  init(_ text: String) throws(ReportError) {
    if let id = Int64(text), id > 0 {
      self = .flow(id)
      return
    }
    if text.hasPrefix(ExplainTarget.findingPrefix), let id = Int64(text.dropFirst(ExplainTarget.findingPrefix.count)) {
      self = .finding(id)
      return
    }
    if let colon = text.firstIndex(of: ":"), AlertLedger.kinds.contains(String(text[..<colon])) {
      self = .key(kind: String(text[..<colon]), rest: String(text[text.index(after: colon)...]))
      return
    }
    if let colon = text.lastIndex(of: ":"), colon != text.startIndex,
      let number = Int64(text[text.index(after: colon)...]), number > 0
    {
      self = .line(log: String(text[..<colon]), number: number)
      return
    }
    throw ReportError(
      "\"\(TerminalText.safe(text))\" is neither a flow nor a finding",
      help: "give a flow's id (12), a line of a log (access.log:12), finding:ID, or KIND:SOURCE:HOST:PORT")
  }
}

/// A finding with the flows that are its evidence.
struct FoundFinding {
  var key: StoredFinding.Key
  /// The row that `gatewatch alert` recorded, if it did.
  var recorded: Recorded?
  var flows: Int64
  /// Flows of the same kind that exceptions of the policy allow; where there are no others, they are the evidence.
  var allowed: Int64 = 0
  /// Those exceptions, with their owners.
  var allowedBy: [String] = []
  var firstMs: Int64?
  var lastMs: Int64?
  /// Ids of the first, the largest and the last flows, in the order of time.
  var evidence: [Int64]
  /// The one of them that moved the most bytes.
  var largest: Int64?
  /// What was seen, of a sign of spoofing; a few sentences at most.
  var signs: [String] = []

  struct Recorded {
    var id: Int64
    var severity: String
    var state: String
    var alerts: Int64
    var lastAlertedMs: Int64?
  }

  /// Flows at either end whose lines are shown.
  static let evidenceAtEachEnd = 3
}

/// Finds flows and findings in a store.
struct ExplainLookup {
  let reader: FlowReader

  /// Flows of one line that are explained: two records glued by a NUL are two; generations of a log add more.
  private static let maxFlowsOfLine = 10

  func flows(_ target: ExplainTarget) throws -> [Int64] {
    switch target {
    case .flow(let id):
      if try reader.value("select id from flow where id = :id", arguments: ["id": .integer(id)]) != nil { return [id] }
      let last = try reader.value("select max(id) from flow")?.integer
      throw ReportError(
        "there is no flow \(id)",
        help: last.map { "ids go up to \($0), and pruned ones are gone; gatewatch flows lists them" }
          ?? "the database holds no flow")
    case .line(let log, let number): return try flows(log: log, line: number)
    case .finding, .key: return []
    }
  }

  private func flows(log: String, line: Int64) throws -> [Int64] {
    let logs = try logs(named: log)
    guard !logs.isEmpty else {
      throw ReportError(
        "no log \"\(TerminalText.safe(log))\" was read", help: "gatewatch report coverage lists the logs that were read"
      )
    }
    var ids: [Int64] = []
    for log in logs {
      // From the sources of the log, for flows have no index of their own.
      let found = try reader.rows(
        """
        select id
        from flow
        where line = :line
          and source in (select id from source where log = :log)
        order by id
        limit \(ExplainLookup.maxFlowsOfLine)
        """, arguments: ["line": .integer(line), "log": .integer(log.id)])
      ids += found.rows.compactMap { $0[0].integer }
    }
    if !ids.isEmpty { return ids }
    for entry in logs where try reader.isTallied(line: line, log: entry.id) {
      throw ReportError(
        file: log, line: Int(clamping: line),
        "is counted, and its flow was not kept: it went the sanctioned way and ended well when it was read",
        help: "a database that is read with gatewatch ingest --keep all shows it")
    }
    for entry in logs {
      let rejected = try reader.rows(
        "select reason, detail from rejected_line where log = :log and line = :line order by id",
        arguments: ["log": .integer(entry.id), "line": .integer(line)])
      if let row = rejected.rows.first {
        let detail = row[1].text.map { ", \($0)" } ?? ""
        throw ReportError(
          file: log, line: Int(clamping: line), TerminalText.safe("was rejected: \(row[0].text ?? "")\(detail)"),
          help: "gatewatch formats test \(TerminalText.safe(log)) --rejected shows why")
      }
    }
    let lines = logs.map(\.lines).max() ?? 0
    throw ReportError(
      file: log, line: Int(clamping: line), "holds no flow",
      help: line > lines
        ? "only \(lines) lines were read" : "the line was skipped as no access line, or its flow was pruned")
  }

  /// Logs of that path, or whose path ends so, with the lines read of each.
  private func logs(named log: String) throws -> [(id: Int64, lines: Int64)] {
    try reader.rows(
      "select id, lines from log where path = :log or path glob '*/' || :pattern order by id",
      arguments: ["log": .text(log), "pattern": .text(ExplainLookup.literal(log))]
    ).rows.compactMap { row in row[0].integer.map { (id: $0, lines: row[1].integer ?? 0) } }
  }

  func finding(_ target: ExplainTarget) throws -> FoundFinding? {
    switch target {
    case .flow: return nil
    case .line(let log, let number): return try findingOfOtherKind(log, number)
    case .finding(let id):
      let rows = try reader.rows(
        "select kind, source, host, port from finding where id = :id", arguments: ["id": .integer(id)]
      ).rows
      guard let row = rows.first else {
        throw ReportError(
          "there is no finding \(id)", help: "gatewatch alert records findings; report bypass lists them")
      }
      return try finding(
        .init(
          kind: row[0].text ?? "", source: row[1].text ?? "", host: row[2].text ?? "", port: row[3].integer ?? 0))
    case .key(let kind, let rest):
      for key in ExplainLookup.keys(kind: kind, rest: rest) {
        let found = try finding(key)
        if found.flows > 0 || found.firstMs != nil || found.recorded != nil { return found }
      }
      throw ReportError(
        "no finding \(TerminalText.safe("\(kind):\(rest)"))",
        help:
          "write KIND:SOURCE:HOST:PORT as gatewatch alert and gatewatch report bypass name them, without :PORT where they name none; SOURCE of new-host is empty, HOST of opted-out says how"
      )
    }
  }

  /// What reads like a line of a log may be a finding of a kind that only an alert query knows: `odd-host:sleep:a.example:443`.
  private func findingOfOtherKind(_ log: String, _ number: Int64) throws -> FoundFinding? {
    guard let colon = log.firstIndex(of: ":"), log[log.index(after: colon)...].contains(":"),
      try logs(named: log).isEmpty
    else { return nil }
    let rest = "\(log[log.index(after: colon)...]):\(number)"
    for key in ExplainLookup.keys(kind: String(log[..<colon]), rest: rest) where try recorded(key) != nil {
      return try finding(key)
    }
    return nil
  }

  /// Every way to take `SOURCE:HOST:PORT` apart: an IPv6 address has colons of its own, where a proxy logs no port the reports
  /// name none, and where it logs no host HOST is empty, or the dash of a table.
  static func keys(kind: String, rest: String) -> [StoredFinding.Key] {
    var keys: [StoredFinding.Key] = []
    func split(_ names: Substring, port: Int64) {
      keys += names.indices.filter { names[$0] == ":" }.map {
        StoredFinding.Key(
          kind: kind, source: String(names[..<$0]), host: String(names[names.index(after: $0)...]), port: port)
      }
    }
    if let last = rest.lastIndex(of: ":"), let port = Int64(rest[rest.index(after: last)...]) {
      split(rest[..<last], port: port)
    }
    split(rest[...], port: 0)
    if rest.hasSuffix(":") { split(rest.dropLast(), port: 0) }
    // No host is a dash alone.
    for key in keys where key.host == "-" {
      keys.append(StoredFinding.Key(kind: key.kind, source: key.source, host: "", port: key.port))
    }
    return keys
  }

  private func finding(_ key: StoredFinding.Key) throws -> FoundFinding {
    let arguments: [String: Value] = [
      "source": .text(key.source), "host": .text(key.host), "port": .integer(key.port),
    ]
    var flows = ExplainLookup.flows(of: key.kind)
    var found = FoundFinding(key: key, flows: 0, evidence: [])
    let taken = flows.contains(":kind") ? arguments.merging(["kind": .text(key.kind)]) { one, _ in one } : arguments
    let used = taken.filter { flows.contains(":\($0.key)") }
    try reader.query(
      "select count(*), min(started_at_ms), max(started_at_ms) from (\(flows))", arguments: used
    ) { row in
      found.flows = row[0].integer ?? 0
      found.firstMs = row[1].integer
      found.lastMs = row[2].integer
    }
    if Bypass(rawValue: key.kind) != nil {
      let allowed = ExplainLookup.flows(of: key.kind, allowed: true)
      try reader.query(
        """
        select count(*), min(f.started_at_ms), max(f.started_at_ms),
          e.label || coalesce(' (' || nullif(e.owner, '') || ')', '')
        from (\(allowed)) f
        join judged_flow j on j.id = f.id
        join policy_exception e on e.id = j.exception_id
        group by e.id
        order by e.id
        """, arguments: used
      ) { row in
        found.allowed += row[0].integer ?? 0
        found.allowedBy += row[3].text.map { [$0] } ?? []
        guard found.flows == 0 else { return }
        found.firstMs = [found.firstMs, row[1].integer].compactMap { $0 }.min()
        found.lastMs = [found.lastMs, row[2].integer].compactMap { $0 }.max()
      }
      if found.flows == 0, found.allowed > 0 { flows = allowed }
    }
    let edge = FoundFinding.evidenceAtEachEnd
    let first = try reader.rows("\(flows) order by started_at_ms, id limit \(edge)", arguments: used).rows
    let last = try reader.rows("\(flows) order by started_at_ms desc, id desc limit \(edge)", arguments: used).rows
    let largest = try reader.rows(
      """
      select f.id, f.started_at_ms
      from (\(flows)) e
      join judged_flow f on f.id = e.id
      order by coalesce(f.bytes_sent, 0) + coalesce(f.bytes_received, 0) desc, f.started_at_ms, f.id
      limit 1
      """, arguments: used
    ).rows
    found.largest = largest.first?[0].integer
    var seen: Set<Int64> = []
    for row in first + largest + last.reversed() {
      if let id = row[0].integer, seen.insert(id).inserted { found.evidence.append(id) }
    }
    if AlertLedger.suspicious.contains(key.kind) {
      found.signs = try reader.rows(
        "select distinct evidence from suspicious_flow where id in (select id from (\(flows))) and kind = :kind "
          + "order by evidence limit \(edge)", arguments: used
      ).rows.compactMap { $0[0].text }
    }
    if key.kind == AlertLedger.optedOut {
      // No flow shows it: the topology does, also before an alert told of it.
      try reader.query(
        """
        select min(first_ms), max(last_ms)
        from (
          select workload, how, first_ms, last_ms
          from opted_out_pod
          union all
          select workload, how, first_ms, last_ms
          from telemetry_opt_out
        )
        where workload = :source
          and how = :host
        """,
        arguments: ["source": .text(key.source), "host": .text(key.host)]
      ) { (found.firstMs, found.lastMs) = ($0[0].integer, $0[1].integer) }
    }
    found.recorded = try recorded(key)
    return found
  }

  private func recorded(_ key: StoredFinding.Key) throws -> FoundFinding.Recorded? {
    try reader.rows(
      """
      select id, severity, state, alerts, last_alerted_ms
      from finding
      where kind = :kind
        and source = :source
        and host = :host
        and port = :port
      order by id
      """,
      arguments: [
        "kind": .text(key.kind), "source": .text(key.source), "host": .text(key.host), "port": .integer(key.port),
      ]
    ).rows.first.map { row in
      FoundFinding.Recorded(
        id: row[0].integer ?? 0, severity: row[1].text ?? "", state: row[2].text ?? "", alerts: row[3].integer ?? 0,
        lastAlertedMs: row[4].integer)
    }
  }

  /// The flows behind a finding, as the alert queries of that kind count them; of a bypass also those that exceptions allow.
  private static func flows(of kind: String, allowed: Bool = false) -> String {
    let sources = "source_id in (select id from named_source where shown_name = :source)"
    let hosts = "destination_id in (select d.id from destination d where coalesce(d.host, '') = :host"
    switch kind {
    case AlertLedger.newHost:
      return """
        select id, started_at_ms from counted_flow where path not in ('none', 'internal') and outcome <> 'noise' \
        and \(hosts))
        """
    case AlertLedger.blocked:
      return "select id, started_at_ms from blocked_flow where \(sources) and \(hosts) and d.port = :port)"
    case _ where AlertLedger.suspicious.contains(kind):
      return """
        select id, started_at_ms from suspicious_flow where kind = :kind and confidence <> 'hint' and \(sources) and \(hosts) and d.port = :port)
        """
    case _ where Bypass(rawValue: kind) == nil:
      // Which flows an alert query of the user's counts, only that query knows: here are all of this way.
      return """
        select id, started_at_ms from judged_flow where duplicate_view = 0 and \(sources) \
        and \(hosts) and d.port = :port)
        """
    default:
      return """
        select id, started_at_ms from bypass_flow where bypass = :kind and allowed = \(allowed ? 1 : 0) and \(sources) \
        and \(hosts) and d.port = :port)
        """
    }
  }

  /// A text that matches itself alone in a GLOB pattern.
  static func literal(_ text: String) -> String {
    text.map { ["*", "?", "["].contains($0) ? "[\($0)]" : String($0) }.joined()
  }
}
