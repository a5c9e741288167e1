internal import FlowStore
internal import Flows

/// The built-in alert queries over all flows from a tally; looking at the flows since the last run only is left to SQL.
enum TalliedAlerts {
  /// nil when this query, or this store at this moment, cannot be tallied.
  static func observations(of query: Query, in store: FlowReader) throws -> [Observation]? {
    guard query.isBuiltIn else { return nil }
    let words =
      switch query.name {
      case "bypass":
        """
        select f.bypass as kind, f.severity, f.around, f.bypass_reason
        from bypass_flow f
        where f.id = :example
          and f.allowed = 0
        order by f.id
        """
      case "blocked":
        """
        select 'blocked' as kind, 'warning' as severity
        from blocked_flow f
        where f.id = :example
        order by f.id
        """
      case "new-host":
        """
        select 'new-host' as kind, 'warning' as severity
        from counted_flow f
        where f.id = :example
          and f.path not in ('none', 'internal')
          and f.outcome <> 'noise'
        order by f.id
        """
      default: ""
      }
    guard !words.isEmpty else { return nil }
    let isByHost = query.name == "new-host"
    var sources: ShownAlike?
    var destinations = ShownAlike()
    let tally = try store.tally(TallyRequest(), words: words) {
      sources = isByHost ? nil : try .sourcesAndSenders(in: store)
      destinations = try .destinations(by: isByHost ? ["host"] : ["host", "port"], [:], in: store)
      $0.sourceGroups = sources?.groups
      $0.destinationGroups = destinations.groups
    }
    guard let tally else { return nil }

    // Once for each verdict and each source: there may be very many groups.
    let found = try tally.verdicts.map { verdict in
      guard let severity = Severity(rawValue: verdict[1].text ?? "") else {
        throw ReportError(file: query.file, "severity \"\(TerminalText.safe(verdict[1].text ?? "NULL"))\" is not known")
      }
      let way = BypassedWay(around: verdict.dropFirst(2).first?.text, reason: verdict.last?.text)
      return (kind: verdict[0].text ?? query.name, severity: severity, ways: Set([way].compactMap { $0 }))
    }
    let senders = sources?.values.map { (source: $0[0].text ?? "", senders: Set([$0[1].text].compactMap { $0 })) }
    return tally.groups.map { group in
      let (verdict, place) = (found[group.verdict], destinations.values[group.destination])
      let sender = senders?[group.source]
      // One of several verdicts on the same thing; the ledger merges them.
      return Observation(
        key: .init(
          kind: verdict.kind, source: sender?.source ?? "", host: place[0].text ?? "",
          port: isByHost ? 0 : place[1].integer ?? 0),
        severity: verdict.severity, flows: group.flows, firstSeenMs: group.firstMs, lastSeenMs: group.lastMs,
        ways: verdict.ways, senders: sender?.senders ?? [])
    }
  }
}
