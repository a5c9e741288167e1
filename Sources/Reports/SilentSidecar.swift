internal import FlowStore

/// A sidecar of which lines were read, but none of a time in which something else shows that its pod lived.
///
///     no line of the sidecar of shop/a-1 (a.log) is of the time from 2026-11-02T11:00:00Z to 2026-11-02T14:00:00Z, though the
///     imported topology shows its pod until then
///
/// It may have been idle: the logs at hand cannot say, and what it sent past the gateway stands in none of them. That a log has
/// no more lines is by itself no evidence, for pods end.
public struct SilentSidecar: Sendable, Equatable {
  /// As the view silent_sidecar says them.
  enum Evidence: String { case topology, client, cutLine = "cut-line", cutLog = "cut-log" }

  /// namespace/pod, else the address, else the log.
  public private(set) var name: String
  /// Path of the log that holds its first or its last line.
  public private(set) var log: String
  private var witness: String?
  private var evidence: Evidence
  private var side: Side
  /// Where the silence lies, as the view says it.
  private enum Side: String { case before, after, between }
  public private(set) var fromMs: Int64
  /// nil where the evidence does not say for how long the pod lived.
  public private(set) var untilMs: Int64?

  /// Those that are silent for longer than a gap in the time asked about, or in all of it: the report `unread` by another way. The
  /// longest comes first; of several kinds of evidence, what reaches furthest is told.
  ///
  /// Behind the last line of all logs nobody says where "until now" ends.
  static func all(in store: FlowReader, filters: Filters) throws -> [SilentSidecar] {
    guard try store.value("select is_possible from silence_evidence")?.integer == 1 else { return [] }
    var found: [SilentSidecar] = []
    var met: Set<String> = []
    try store.query(
      """
      with asked as (
        select
          max(min(first_ms), coalesce(:since_ms, min(first_ms))) as from_ms,
          min(max(last_ms), coalesce(:until_ms, max(last_ms))) as until_ms
        from log
      )
      select
        coalesce(coalesce(s.namespace || '/', '') || s.name, s.address, l.path) as name, l.path, w.path, s.evidence,
        s.side, s.from_ms, s.until_ms
      from silent_sidecar s
      join asked a
      join log l on l.id = s.log
      left join log w on w.id = s.witness
      where min(coalesce(s.until_ms, a.until_ms), a.until_ms) - max(s.from_ms, a.from_ms) > \(LogPauses.leastMs)
        or (s.from_ms < a.from_ms and coalesce(s.until_ms, a.until_ms + 1) > a.until_ms)
      order by coalesce(s.until_ms, s.from_ms) - s.from_ms desc, name, s.evidence
      """, arguments: ["since_ms": Value(filters.sinceMs), "until_ms": Value(filters.untilMs)]
    ) { row in
      guard let evidence = Evidence(rawValue: row[3].text ?? ""), let side = Side(rawValue: row[4].text ?? "") else {
        return
      }
      let silent = SilentSidecar(
        name: row[0].text ?? "", log: row[1].text ?? "", witness: row[2].text, evidence: evidence,
        side: side, fromMs: row[5].integer ?? 0, untilMs: row[6].integer)
      if met.insert("\(side) \(silent.name)").inserted { found.append(silent) }
    }
    return found
  }

  /// Without a full stop.
  var sentence: String {
    let from = Quantities.iso(fromMs, showsMilliseconds: false)
    let until = untilMs.map { Quantities.iso($0, showsMilliseconds: false) }
    let isNamedByLog = name == log
    let whose = isNamedByLog ? log : "the sidecar of \(name)"
    let place = isNamedByLog ? "" : " (\(log))"
    let time = until.map { "from \(from) to \($0)" } ?? "after \(from)"
    let lived =
      switch side {
      case .before: "from then"
      case .after: "until then"
      case .between: "in between"
      }
    let reason =
      switch evidence {
      case .topology: "the imported topology shows its pod \(lived)"
      case .client: "\(witness ?? "another log") shows it as a client \(lived)"
      case .cutLine: "the log ends within a line"
      case .cutLog: "the log was cut or replaced after it had been read"
      }
    return
      "no line of \(whose)\(place) is of the time \(time), \(evidence == .cutLine || evidence == .cutLog ? "and" : "though") \(reason)"
  }
}
