internal import AccessLogs
internal import FlowStore
internal import Flows
internal import Ingestion
internal import Reports

/// Keeps the first, the last and the largest lines of findings that were told, each with the lines of its journey, as long
/// as their logs are there to be read.
struct EvidenceKeeper {
  let store: FlowStore
  let nowMs: Int64

  /// Findings of one run whose lines are kept: each line is read back and parsed again, and cron should be done soon.
  /// What was left out is kept when it is told the next time.
  static let maxFindings = 50

  /// - Parameter groups: as they were told.
  func keep(_ groups: [AlertReport.Group]) throws {
    let kept = [Severity.critical, .warning, .info].flatMap { severity in
      groups.filter { $0.kind != AlertLedger.newHost && $0.severity == severity }
    }
    let keys = kept.flatMap { group in
      group.sources.map {
        StoredFinding.Key(kind: group.kind, source: $0, host: group.host, port: group.port)
      }
    }.prefix(EvidenceKeeper.maxFindings)
    guard !keys.isEmpty else { return }
    // What was just recorded must be in the file for flows to be found page by page.
    store.settle()
    let reader = try FlowReader(path: store.path)
    defer { reader.close() }
    let flows = try ExplainLookup(reader: reader).evidence(of: Array(keys))
    let explainer = try FlowExplainer(reader: reader, formats: FormatPlan.builtIn, folders: [])
    let journeys = try explainer.journeys(of: keys.flatMap { flows[$0] ?? [] })
    for key in keys {
      var lines: [StoredEvidence] = []
      var places: [(log: Int64, line: Int64, startedAtMs: Int64)] = []
      var seen: Set<Int64> = []
      let ids = (flows[key] ?? []).flatMap { id in [id] + (journeys[id]?.hops.map(\.flow.id) ?? []) }
      for id in ids where seen.insert(id).inserted {
        guard let flow = try explainer.line(of: id) else { continue }
        let place = (
          log: flow.evidence.logID, line: flow.evidence.line, startedAtMs: flow.integer("started_at_ms") ?? 0
        )
        places.append(place)
        guard case .found(let found) = flow.evidence.answer else { continue }
        let values = found.parsed.columns.compactMap(\.value)
        let text = found.lines.map { Redaction().text(String(decoding: $0.bytes, as: UTF8.self), values: values) }
        lines.append(
          StoredEvidence(
            log: place.log, line: place.line, startedAtMs: place.startedAtMs, text: text.joined(separator: "\n")))
      }
      try store.keep(lines, of: key, flows: places, nowMs: nowMs)
    }
    try store.commit()
  }
}

extension ExplainLookup {
  /// Flows that are compared by their verdicts; of more SQL looks at all flows there are.
  static let mostCompared = 500_000

  /// The first, the last and the largest flows of several findings, in one pass over the flows of their kinds.
  func evidence(of keys: [StoredFinding.Key]) throws -> [StoredFinding.Key: [Int64]] {
    var found: [StoredFinding.Key: [Int64]] = [:]
    guard !keys.isEmpty else { return found }
    let asked = keys.map { key in
      "{\"kind\":\(JSON.string(key.kind)),\"source\":\(JSON.string(key.source)),\"host\":\(JSON.string(key.host)),\"port\":\(key.port)}"
    }
    let askedJSON = Value.text("[" + asked.joined(separator: ",") + "]")
    let candidates = try reader.flows(between: pairs(askedJSON), atMost: ExplainLookup.mostCompared)
    // In this order, or each flow there is would be compared with the candidates.
    func among(_ view: String) -> String {
      candidates == nil ? "\(view) b" : "json_each(:candidates) c cross join \(view) b on b.id = c.value"
    }
    for view in [
      """
      select b.id, b.started_at_ms, b.source_id, b.destination_id, b.bypass as kind,
        coalesce(b.bytes_sent, 0) + coalesce(b.bytes_received, 0) as bytes
      from \(among("bypass_flow"))
      where b.allowed = 0
      """,
      // What was refused moved nothing worth comparing.
      """
      select b.id, b.started_at_ms, b.source_id, b.destination_id, '\(AlertLedger.blocked)' as kind, 0 as bytes
      from \(among("blocked_flow"))
      """,
    ] {
      var arguments = ["asked": askedJSON]
      if let candidates {
        arguments["candidates"] = .text("[" + candidates.map(String.init).joined(separator: ",") + "]")
      }
      try reader.query(
        """
        with asked as (
          select value ->> 'kind' as kind, value ->> 'source' as source, value ->> 'host' as host,
            value ->> 'port' as port
          from json_each(:asked)
        ),
        route as materialized (
          select a.kind, a.source, a.host, a.port, s.id as source_id, d.id as destination_id
          from asked a
          join source s on \(ExplainLookup.sourceName) = a.source
          join destination d on coalesce(d.host, '') = a.host and d.port = a.port
        ),
        placed as (
          select r.kind, r.source, r.host, r.port, f.id, f.started_at_ms,
            row_number() over (
              partition by r.kind, r.source, r.host, r.port order by f.started_at_ms, f.id) as from_start,
            row_number() over (
              partition by r.kind, r.source, r.host, r.port order by f.started_at_ms desc, f.id desc) as from_end,
            row_number() over (
              partition by r.kind, r.source, r.host, r.port
              order by f.bytes desc, f.started_at_ms, f.id) as from_largest
          from (\(view)) f
          join route r on r.kind = f.kind and r.source_id = f.source_id and r.destination_id = f.destination_id
        )
        select kind, source, host, port, id
        from placed
        where from_start <= \(FoundFinding.evidenceAtEachEnd)
          or from_end <= \(FoundFinding.evidenceAtEachEnd)
          or from_largest = 1
        order by kind, source, host, port, started_at_ms, id
        """, arguments: arguments
      ) { row in
        let key = StoredFinding.Key(
          kind: row[0].text ?? "", source: row[1].text ?? "", host: row[2].text ?? "", port: row[3].integer ?? 0)
        if let id = row[4].integer { found[key, default: []].append(id) }
      }
    }
    return found
  }

  /// Sources and destinations by row id that stand behind what is asked.
  private func pairs(_ asked: Value) throws -> [(source: Int64, destination: Int64)] {
    var pairs: [(source: Int64, destination: Int64)] = []
    try reader.query(
      """
      with asked as (
        select distinct value ->> 'source' as source, value ->> 'host' as host, value ->> 'port' as port
        from json_each(:asked)
      )
      select s.id, d.id
      from asked a
      join source s on \(ExplainLookup.sourceName) = a.source
      join destination d on coalesce(d.host, '') = a.host and d.port = a.port
      order by s.id, d.id
      """, arguments: ["asked": asked]
    ) { pairs.append(($0[0].integer ?? 0, $0[1].integer ?? 0)) }
    return pairs
  }
}
