-- title: What left, which way, and how it ended
-- about: Every flow once, at the hop closest to its destination. The parts total, path, outcome and role each
--    add up to the same number; bypass and unproven are looked at line by line, also at earlier hops, and with --source are of
--    who came to the proxy, as in the reports of these names.
-- rows: all
-- parameter: since_ms  first millisecond to include (Unix time)
-- parameter: until_ms  first millisecond no longer included
-- parameter: host      glob over the host, the host of Envoy's cluster or the address reached, lower case
-- parameter: sources   JSON list of source ids: of who sent it, or of who came to the proxy
-- parameter: path      comma list of paths
-- parameter: outcome   comma list of outcomes
-- column: part       text   what the line belongs to
-- column: what       text   the word of that part
-- column: flows      number flows
-- column: share      number of all flows, in percent
-- column: sent       bytes  bytes towards the destinations
-- column: received   bytes  bytes from the destinations
-- column: first_seen first  earliest start
-- column: last_seen  last   latest start
-- The words of a verdict are the same for all flows with the same two keys, and integers sort faster than words: so flows
-- are grouped by the keys, and the words are read off one flow of each group.
with grouped as materialized (
  select
    min(id) as example,
    :sources is null or j.sender_id in (select value from json_each(:sources)) as is_sent,
    :sources is null or j.source_id in (select value from json_each(:sources)) as is_received,
    count(*) as flows,
    sum(bytes_sent) as sent,
    sum(bytes_received) as received,
    min(started_at_ms) as first_seen,
    max(started_at_ms) as last_seen
  from judged_flow j
  where (:since_ms is null or j.started_at_ms >= :since_ms)
    and (:until_ms is null or j.started_at_ms < :until_ms)
    and (:host is null or j.destination_id in (select id from destination_name where name glob :host))
    and (is_sent or is_received)
    and (:path is null or instr(',' || :path || ',', ',' || j.path || ',') > 0)
    and (:outcome is null or instr(',' || :outcome || ',', ',' || j.outcome || ',') > 0)
  group by route_key, ending_key, counted, journey_place, bypass_reason_id, is_sent, is_received
),
tally as materialized (
  select
    j.role,
    j.path,
    j.outcome,
    j.bypass,
    j.exception_id is not null as allowed,
    j.counted,
    j.duplicate_view,
    case
      when j.path = 'none' or j.duplicate_view = 1 then null
      when j.bypass is not null
        then case when j.exception_id is not null and j.assumption is not null then 'exception-assumed' end
      when j.rule is null then 'not-judged'
      when j.never_clears = 1 then 'ambiguous-columns'
      when j.path = 'unknown' then 'path-unknown'
      when j.assumption is not null then 'assumption'
      when instr(',' || j.verdict_warnings || ',', ',source-unproven,') > 0 then 'source-unproven'
    end as unproven,
    g.is_sent,
    g.is_received,
    g.flows,
    g.sent,
    g.received,
    g.first_seen,
    g.last_seen
  from grouped g
  join judged_flow j on j.id = g.example
),
parts as (
  select 1 as place, 'total' as part, 'flows' as what, flows, sent, received, first_seen, last_seen
  from tally
  where counted = 1
    and is_sent
  union all
  select 2, 'path', path, flows, sent, received, first_seen, last_seen
  from tally
  where counted = 1
    and is_sent
  union all
  select 3, 'outcome', outcome, flows, sent, received, first_seen, last_seen
  from tally
  where counted = 1
    and is_sent
  union all
  select 4, 'role', role, flows, sent, received, first_seen, last_seen
  from tally
  where counted = 1
    and is_sent
  union all
  select 5, 'bypass', bypass, flows, sent, received, first_seen, last_seen
  from tally
  where bypass is not null
    and allowed = 0
    and duplicate_view = 0
    and is_received
  union all
  select 6, 'bypass allowed', bypass, flows, sent, received, first_seen, last_seen
  from tally
  where bypass is not null
    and allowed = 1
    and duplicate_view = 0
    and is_received
  union all
  select 7, 'unproven', unproven, flows, sent, received, first_seen, last_seen
  from tally
  where unproven is not null
    and is_received
  union all
  select 8, 'not counted', case when duplicate_view = 1 then 'second views' else 'earlier hops' end,
    flows, sent, received, first_seen, last_seen
  from tally
  where counted = 0
    and is_sent
)
select
  part,
  what,
  sum(flows) as flows,
  -- Unproven flows and earlier hops are no parts of what is counted.
  case
    when place < 7 then round(100.0 * sum(flows) / nullif((select sum(flows) from tally where counted = 1 and is_sent), 0), 1)
  end as share,
  sum(sent) as sent,
  sum(received) as received,
  min(first_seen) as first_seen,
  max(last_seen) as last_seen
from parts
group by place, part, what
order by place, flows desc, what;
