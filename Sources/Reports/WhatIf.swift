public import FlowStore

/// What another policy would have said of the stored past, flow by flow, set against what the present one says.
///
/// Asked of a reader for which the other verdicts are supposed (`FlowReader.suppose`). `isRegistryOnly` adds what the mesh
/// would have refused with `outboundTrafficPolicy: REGISTRY_ONLY`: everything that sidecars sent to destinations that no
/// registry declares, wherever it went, and whether or not an exception allows it today.
public struct WhatIf: Sendable {
  public var filters: Filters
  public var isRegistryOnly: Bool
  /// File of the supposed policy, for the heading; nil where the present one stays.
  public var policyFile: String?

  /// Flows by the way their verdict changes.
  public struct Change: Sendable, Equatable {
    public var word: String
    public var flows: Int64
  }

  public init(filters: Filters = Filters(), policyFile: String? = nil, isRegistryOnly: Bool = false) {
    self.filters = filters
    self.policyFile = policyFile
    self.isRegistryOnly = isRegistryOnly
  }

  /// Looks at every flow once; afterwards `report` can be asked.
  public func compare(in store: FlowReader) throws -> [Change] {
    let query = try QueryHeader.parse(WhatIf.comparison, file: "whatif")
    var arguments = try filters.arguments(for: query, in: store)
    arguments["registry_only"] = .integer(isRegistryOnly ? 1 : 0)
    try store.keep(query.sql, arguments: arguments, as: "verdict_change")
    var changes: [Change] = []
    try store.query("select change, sum(flows) from verdict_change group by change order by change") { row in
      changes.append(Change(word: row[0].text ?? "", flows: row[1].integer ?? 0))
    }
    return changes
  }

  /// Why nothing would change, in words: all verdicts stay, or there is no flow to have one.
  public func unchanged(in store: FlowReader) throws -> String {
    let query = try QueryHeader.parse(WhatIf.asked, file: "whatif")
    let isAny = try store.value(query.sql, arguments: filters.arguments(for: query, in: store))?.integer == 1
    if !isAny, filters != Filters() { return "nothing can be said: \(Standing.nothingRead(within: filters))" }
    return "no verdict on the stored flows would be another one"
  }

  /// The changes, grouped for people.
  public func report(limit: Int?, notes: [String]) throws(ReportError) -> Report {
    var report = Report(try QueryHeader.parse(WhatIf.listing, file: "whatif"), limit: limit)
    report.query.name = "whatif"
    report.notes = notes
    report.described =
      (policyFile.map { [("policy", $0)] } ?? []) + filters.described
      + (isRegistryOnly ? [("registry-only", "yes")] : [])
    return report
  }

  /// The words of `change`, with what they mean, in the order of their weight.
  public static let words: [(word: String, text: String)] = [
    ("bypass", "would become bypass"), ("blocked", "would have been blocked"),
    ("other-bypass", "would be another kind of bypass"), ("no-bypass", "would stop being bypass"),
    ("allowed", "would be bypass that an exception allows"), ("path", "would have another path"),
    ("unproven", "would rest on an assumption"), ("proven", "would no longer rest on an assumption"),
  ]

  private static let parameters = """
    -- parameter: since_ms      first millisecond to include (Unix time)
    -- parameter: until_ms      first millisecond no longer included
    -- parameter: host          glob over the host, lower case
    -- parameter: sources       JSON list of source ids
    -- parameter: path          comma list of paths, by the present verdicts
    -- parameter: outcome       comma list of outcomes, by the present verdicts
    """

  /// Which of the flows `p` of the store are meant.
  private static let limits = """
    p.duplicate_view = 0
      and (:since_ms is null or p.started_at_ms >= :since_ms)
      and (:until_ms is null or p.started_at_ms < :until_ms)
      and (:host is null or p.destination_id in (select id from destination_name where name glob :host))
      and (:sources is null or p.source_id in (select value from json_each(:sources)))
      and (:path is null or instr(',' || :path || ',', ',' || p.path || ',') > 0)
      and (:outcome is null or instr(',' || :outcome || ',', ',' || p.outcome || ',') > 0)
    """

  private static let comparison = """
    -- title: What changes with another judgement, by route
    \(parameters)
    -- parameter: registry_only 1: what no registry declares is refused
    with compared as (
      select
        p.source_id,
        p.destination_id,
        p.started_at_ms,
        p.path as before_path,
        case when p.exception_id is null then p.bypass end as before_bypass,
        p.bypass is not null and p.exception_id is not null as before_allowed,
        p.assumption is not null or p.never_clears = 1 as before_assumed,
        s.path as after_path,
        case when s.exception_id is null then s.bypass end as after_bypass,
        s.bypass is not null and s.exception_id is not null as after_allowed,
        s.assumption is not null or s.never_clears = 1 as after_assumed,
        s.exception_id,
        coalesce(
          :registry_only = 1
            and s.role = 'sidecar'
            and s.path <> 'none'
            and (
              d.cluster in ('PassthroughCluster', 'AllowAnyDynamicDNSCluster')
              -- what a Sidecar's egressProxy gets has the cluster of that proxy
              or d.route_name in ('allow_any', 'allow_any_dynamic_dns')
            ),
          0) as is_refused
      from main.judged_flow p
      join temp.judged_flow s on s.id = p.id
      join temp.destination d on d.id = p.destination_id
      where \(limits)
    ),
    changed as (
      select
        case
          when is_refused = 1 then 'blocked'
          when after_bypass is not null and before_bypass is null then 'bypass'
          when after_bypass <> before_bypass then 'other-bypass'
          when before_bypass is not null and after_bypass is null then
            case when after_allowed = 1 then 'allowed' else 'no-bypass' end
          when after_bypass is not null then null
          when after_allowed <> before_allowed then case when after_allowed = 1 then 'allowed' else 'no-bypass' end
          when after_path <> before_path then 'path'
          when after_assumed > before_assumed then 'unproven'
          when after_assumed < before_assumed then 'proven'
        end as change,
        source_id,
        destination_id,
        started_at_ms,
        before_path || case
          when before_bypass is not null then ' (bypass ' || before_bypass || ')'
          when before_allowed = 1 then iif(before_assumed = 1, ' (bypass, allowed on an assumption)', ' (allowed bypass)')
          when before_assumed = 1 then ' (assumed)'
          else ''
        end as before,
        case
          when is_refused = 1 then 'none (blocked)'
          else after_path || case
            when after_bypass is not null then ' (bypass ' || after_bypass || ')'
            when after_allowed = 1 then iif(after_assumed = 1, ' (bypass, allowed on an assumption)', ' (allowed bypass)')
            when after_assumed = 1 then ' (assumed)'
            else ''
          end
        end as after,
        case when is_refused = 0 and after_allowed = 1 then exception_id end as exception_id
      from compared
    )
    select
      change,
      before,
      after,
      exception_id,
      source_id,
      destination_id,
      count(*) as flows,
      min(started_at_ms) as first_seen,
      max(started_at_ms) as last_seen
    from changed
    where change is not null
    group by change, before, after, exception_id, source_id, destination_id
    order by change
    """

  private static let asked = """
    -- title: Whether there is any flow to judge
    \(parameters)
    select exists (
      select 1
      from main.judged_flow p
      where \(limits)
    )
    """

  private static let listing = """
    -- title: What would change for the stored past
    -- column: change     text   what would happen: bypass, blocked, other-bypass, no-bypass, allowed, path, unproven, proven
    -- column: source     text   workload, pod or address
    -- column: host       text   where it went
    -- column: port       number port at the destination
    -- column: flows      count  flows
    -- column: before     text   path by the present verdicts
    -- column: after      text   path by the other ones
    -- column: first_seen first  earliest start
    -- column: last_seen  last   latest start
    -- column: allowed_by text   the exception of the other policy that would allow it, with its owner
    select
      c.change,
      s.shown_name as source,
      d.host,
      nullif(d.port, 0) as port,
      sum(c.flows) as flows,
      c.before,
      c.after,
      min(c.first_seen) as first_seen,
      max(c.last_seen) as last_seen,
      case when e.id is not null then e.label || coalesce(' (' || nullif(e.owner, '') || ')', '') end as allowed_by
    from temp.verdict_change c
    join temp.named_source s on s.id = c.source_id
    join temp.destination d on d.id = c.destination_id
    left join temp.policy_exception e on e.id = c.exception_id
    group by c.change, c.before, c.after, c.exception_id, s.shown_name, d.host, d.port
    order by
      case c.change \(words.enumerated().map { "when '\($1.word)' then \($0)" }.joined(separator: " ")) end,
      sum(c.flows) desc, s.shown_name, d.host, d.port, c.before, c.after
    """
}
