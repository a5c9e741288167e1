internal import FlowStore
internal import Flows

// Requests that a Squid's side log tells of, and of which its access log was not read: they count in no total.

extension Standing {
  /// Counts lines of side logs that would stand against an all-clear if they counted, where no access log of a Squid that has lines of
  /// their client was read for their time.
  ///
  /// - Parameter nameless: what may be the host asked about, beside what has its name.
  mutating func countSideLines(
    in store: FlowReader, filters: Filters, or nameless: NamelessDestinations = NamelessDestinations()
  ) throws {
    sideLines = 0
    guard try Standing.hasSideLogs(store) else { return }
    let query = try QueryHeader.parse(Standing.lonely, file: "standing")
    var limits = filters
    (limits.paths, limits.outcomes) = ([], [])
    var arguments = try limits.arguments(for: query, in: store)
    arguments["nameless"] = nameless.list
    sideLines = try store.value(query.sql, arguments: arguments)?.integer ?? 0
  }

  /// The same of flows that are new since the flow `after`; nil for all.
  static func sideLines(after: Int64?, in store: FlowReader) throws -> Int64 {
    guard try hasSideLogs(store) else { return 0 }
    let query = try QueryHeader.parse(lonely, file: "standing")
    return try store.value(query.sql, arguments: ["after": Value(after)])?.integer ?? 0
  }

  /// What is said of so many.
  static func sentence(ofSideLines count: Int64) -> String {
    "\(Quantities.grouped(count)) \(count == 1 ? "line" : "lines") of a Squid's referrer or useragent log, of whose \(count == 1 ? "request" : "requests") no access log was read (see: gatewatch flows)"
  }

  /// Mostly there are none, and no flow need be looked at.
  private static func hasSideLogs(_ store: FlowReader) throws -> Bool {
    try store.value("select exists (select 1 from source where shape = 'side-log')")?.integer == 1
  }

  /// Of two logs that grow, one is read before the other.
  private static let graceMs: Int64 = 60_000

  private static let lonely = """
    -- title: Lines of side logs that no access log accounts for
    -- parameter: since_ms  first millisecond to include (Unix time)
    -- parameter: until_ms  first millisecond no longer included
    -- parameter: host      glob over the host, the host of Envoy's cluster or the address reached, lower case
    -- parameter: nameless  JSON list of destination ids that may be the host
    -- parameter: sources   JSON list of source ids
    -- parameter: after     flows with this id or a lower one are left out
    with side as materialized (
      select id, client_ip
      from source
      where shape = 'side-log'
    ),
    access_log as materialized (
      select distinct s.client_ip, l.first_ms - \(graceMs) as from_ms, l.last_ms + \(graceMs) as until_ms
      from source s
      join log l on l.id = s.log
      where s.proxy = 'squid'
        and s.shape <> 'side-log'
        and l.first_ms is not null
        and s.client_ip in (select client_ip from side)
    )
    select count(*) as flows
    from judged_flow j
    join side s on s.id = j.source_id
    join destination d on d.id = j.destination_id
    where j.id > coalesce(:after, 0)
      and \(standsAgainst)
      and (:since_ms is null or j.started_at_ms >= :since_ms)
      and (:until_ms is null or j.started_at_ms < :until_ms)
      and (
        :host is null
        -- A user agent's line names no host: it may be any.
        or d.host is null
        or d.id in (select id from destination_name where name glob :host)
        or d.id in (select value from json_each(:nameless))
      )
      and (:sources is null or j.source_id in (select value from json_each(:sources)))
      and not exists (
        select 1
        from access_log a
        where a.client_ip = s.client_ip
          and j.started_at_ms between a.from_ms and a.until_ms
      )
    """
}
