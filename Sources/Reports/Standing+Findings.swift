internal import FlowStore

// What stands for and against an all-clear, flow by flow.

extension Standing {
  /// The answer to `findings`, of which `query` is made.
  static func found(
    _ query: Query, _ arguments: [String: Value], in store: FlowReader, usingTallies: Bool
  ) throws -> TalliedFindings {
    if usingTallies, let found = try TalliedFindings(arguments, in: store) { return found }
    return TalliedFindings(try store.rows(query.sql, arguments: arguments).rows.map { ($0, $0[2].integer ?? 0) })
  }

  /// What a flow counts as, by a row of `judged_flow`: the views bypass_flow and unproven_flow in one word.
  static func proofWord(_ flow: String) -> String {
    """
    case
      when \(flow).bypass is not null then
        case
          when \(flow).exception_id is null then 'bypass'
          when \(flow).assumption is null then 'allowed'
          else 'exception-assumed'
        end
      when \(flow).path = 'none' then null
      when \(flow).rule is null then 'not-judged'
      when \(flow).never_clears = 1 then 'ambiguous-columns'
      when \(flow).path = 'unknown' then 'path-unknown'
      when \(flow).assumption is not null then 'assumption'
      when instr(',' || \(flow).verdict_warnings || ',', ',source-unproven,') > 0 then 'source-unproven'
    end
    """
  }

  /// The two views in one pass over the flows, which takes a third of the time; a test holds the two ways equal.
  static let findings = """
    -- title: What stands for and against an all-clear
    -- parameter: since_ms  first millisecond to include (Unix time)
    -- parameter: until_ms  first millisecond no longer included
    -- parameter: host      glob over the host, the host of Envoy's cluster or the address reached, lower case
    -- parameter: sources   JSON list of source ids
    with proof as (
      select
        \(proofWord("j")) as what,
        next_hop_gap as gap
      from judged_flow j
      where j.duplicate_view = 0
        and (:since_ms is null or j.started_at_ms >= :since_ms)
        and (:until_ms is null or j.started_at_ms < :until_ms)
        and (:host is null or j.destination_id in (select id from destination_name where name glob :host))
        and (:sources is null or j.source_id in (select value from json_each(:sources)))
    )
    select what, gap, count(*) as flows
    from proof
    group by what, gap
    order by what, gap
    """
}
