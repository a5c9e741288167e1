internal import FlowStore

// Connections of which only lines from before their end were read: second views, which count in no total.

extension Standing {
  /// Counts the second views around the gateway for whose source, host and port no line of an end was read: a tunnel that is still
  /// open, or whose last line is lost. Where the end was read, it is what counts.
  mutating func countUnended(in store: FlowReader, filters: Filters, usingTallies: Bool = true) throws {
    guard try store.value("select exists (select 1 from outcome_verdict where duplicate_view = 1)")?.integer == 1 else {
      return
    }
    let query = try QueryHeader.parse(Standing.aroundTheGateway, file: "standing")
    var limits = filters
    (limits.paths, limits.outcomes) = ([], [])
    let arguments = try limits.arguments(for: query, in: store)
    if usingTallies, let found = try TalliedAnswer.Places(Standing.viewWords, arguments, store) {
      let width = found.destinations.values.count
      unended = Standing.unended(
        found.tally.groups.lazy.map { group in
          (group.source * width + group.destination, found.tally.verdicts[group.verdict][0] == 1, group.flows)
        })
    } else {
      unended = Standing.unended(
        try store.rows(query.sql, arguments: arguments).rows.lazy.map { row in
          (Array(row[0..<3]), row[3] == 1, row[4].integer ?? 0)
        })
    }
  }

  private static func unended<Place: Hashable>(
    _ groups: some Sequence<(place: Place, isSecondView: Bool, flows: Int64)>
  ) -> Int64 {
    var open: [Place: Int64] = [:]
    var ended: Set<Place> = []
    for (place, isSecondView, flows) in groups {
      if isSecondView { open[place, default: 0] += flows } else { ended.insert(place) }
    }
    return open.reduce(0) { ended.contains($1.key) ? $0 : $0 + $1.value }
  }

  private static let viewWords = """
    select f.duplicate_view
    from judged_flow f
    where f.id = :example
      and f.bypass is not null
      and f.exception_id is null
    order by f.id
    """

  /// The same by SQL; a test holds the two equal.
  private static let aroundTheGateway = """
    -- title: Flows around the gateway, and second views of them
    -- parameter: since_ms  first millisecond to include (Unix time)
    -- parameter: until_ms  first millisecond no longer included
    -- parameter: host      glob over the host, the host of Envoy's cluster or the address reached, lower case
    -- parameter: sources   JSON list of source ids
    select
      coalesce(s.name, s.pod, case when s.client_forwarded = 0 then s.client_ip end, s.proxy_ip, s.client_ip, '?') as source,
      d.host,
      d.port,
      j.duplicate_view,
      count(*) as flows
    from judged_flow j
    join source s on s.id = j.source_id
    join destination d on d.id = j.destination_id
    where j.bypass is not null
      and j.exception_id is null
      and (:since_ms is null or j.started_at_ms >= :since_ms)
      and (:until_ms is null or j.started_at_ms < :until_ms)
      and (:host is null or j.destination_id in (select id from destination_name where name glob :host))
      and (:sources is null or j.source_id in (select value from json_each(:sources)))
    group by 1, 2, 3, 4
    order by 1, 2, 3, 4
    """
}
