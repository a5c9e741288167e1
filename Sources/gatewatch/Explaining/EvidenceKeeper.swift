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
  /// What the lines are read back by.
  let formats: [FormatPlan]

  /// Findings of one run whose lines are kept: each line is read back and parsed again, and cron should be done soon.
  /// What was left out is kept when it is told the next time.
  static let maxFindings = 50
  /// The same in time: lines that are hard to understand are read back no further then.
  static let longest = Duration.seconds(10)

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
    let reader = try store.reader()
    let flows = try ExplainLookup(reader: reader).evidence(of: Array(keys))
    let explainer = try FlowExplainer(reader: reader, formats: formats, folders: [])
    let journeys = try explainer.journeys(of: keys.flatMap { flows[$0] ?? [] })
    let end = ContinuousClock.now.advanced(by: EvidenceKeeper.longest)
    for key in keys where ContinuousClock.now < end {
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
    let routes = try routes(of: keys)
    guard !routes.isEmpty else { return found }
    let candidates = try reader.flows(
      between: routes.map { ($0.source, $0.destination) }, atMost: ExplainLookup.mostCompared)
    // In this order, or each flow there is would be compared with the candidates.
    func among(_ view: String) -> String {
      candidates == nil ? "\(view) b" : "json_each(:candidates) c cross join \(view) b on b.id = c.value"
    }
    let bypasses = """
      select b.id, b.started_at_ms, b.source_id, b.destination_id, b.bypass as kind,
        coalesce(b.bytes_sent, 0) + coalesce(b.bytes_received, 0) as bytes
      from \(among("bypass_flow"))
      where b.allowed = 0
      """
    // What was refused moved nothing worth comparing.
    let refusals = """
      select b.id, b.started_at_ms, b.source_id, b.destination_id, '\(AlertLedger.blocked)' as kind, 0 as bytes
      from \(among("blocked_flow"))
      """
    for (view, isOfIt) in [
      (bypasses, { Bypass(rawValue: $0) != nil }), (refusals, { $0 == AlertLedger.blocked }),
    ] as [(String, (String) -> Bool)] {
      let asked = routes.filter { isOfIt(keys[$0.key].kind) }
      guard !asked.isEmpty else { continue }
      var arguments = [
        "routes": Value.text(
          "["
            + asked.map { "[\($0.key),\(JSON.string(keys[$0.key].kind)),\($0.source),\($0.destination)]" }
            .joined(separator: ",") + "]")
      ]
      if let candidates {
        arguments["candidates"] = .text("[" + candidates.map(String.init).joined(separator: ",") + "]")
      }
      try reader.query(
        """
        with route as materialized (
          select value ->> 0 as key, value ->> 1 as kind, value ->> 2 as source_id, value ->> 3 as destination_id
          from json_each(:routes)
        ),
        placed as (
          select r.key, f.id, f.started_at_ms,
            row_number() over (partition by r.key order by f.started_at_ms, f.id) as from_start,
            row_number() over (partition by r.key order by f.started_at_ms desc, f.id desc) as from_end,
            row_number() over (partition by r.key order by f.bytes desc, f.started_at_ms, f.id) as from_largest
          from (\(view)) f
          join route r on r.kind = f.kind and r.source_id = f.source_id and r.destination_id = f.destination_id
        )
        select key, id
        from placed
        where from_start <= \(FoundFinding.evidenceAtEachEnd)
          or from_end <= \(FoundFinding.evidenceAtEachEnd)
          or from_largest = 1
        order by key, started_at_ms, id
        """, arguments: arguments
      ) { row in
        if let key = row[0].integer, let id = row[1].integer { found[keys[Int(key)], default: []].append(id) }
      }
    }
    return found
  }

  /// Sources and destinations by row id that stand behind each of some findings, which are numbered as they come. There are
  /// many destinations, and so each is looked at once.
  private func routes(
    of keys: [StoredFinding.Key]
  ) throws -> [(key: Int, source: Int64, destination: Int64)] {
    let asked = keys.map { "[\(JSON.string($0.source)),\(JSON.string($0.host)),\($0.port)]" }
    var routes: [(key: Int, source: Int64, destination: Int64)] = []
    try reader.query(
      """
      with asked as materialized (
        select key, value ->> 0 as source, value ->> 1 as host, value ->> 2 as port
        from json_each(:asked)
      ),
      sent as materialized (
        select id, shown_name
        from named_source
        where shown_name in (select source from asked)
      ),
      reached as materialized (
        select d.id, coalesce(d.host, '') as host, d.port
        from destination d
        where (coalesce(d.host, ''), d.port) in (select host, port from asked)
      )
      select a.key, s.id, d.id
      from asked a
      join sent s on s.shown_name = a.source
      join reached d on d.host = a.host and d.port = a.port
      order by a.key, s.id, d.id
      """, arguments: ["asked": .text("[" + asked.joined(separator: ",") + "]")]
    ) { row in
      if let key = row[0].integer, let source = row[1].integer, let destination = row[2].integer {
        routes.append((Int(key), source, destination))
      }
    }
    return routes
  }
}
