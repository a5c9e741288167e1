-- title: Traffic that found no answer
-- about: One line per outcome, reason, host and source; each flow once, at the hop closest to the destination, which alone sees
--    why: a tunnel that ends with 502 at an SNI proxy, or at Squid, looks fine to all hops before. The source is who sent
--    it, where the connections of all hops show that, else who came to the proxy. What a policy refused is in report
--    blocked. Whole ways: gatewatch report journeys --outcome failed.
-- parameter: since_ms  first millisecond to include (Unix time)
-- parameter: until_ms  first millisecond no longer included
-- parameter: host      glob over the host, lower case
-- parameter: sources   JSON list of source ids: of who sent it, or of who came to the proxy
-- parameter: path      comma list of paths; what was never sent has path none
-- parameter: outcome   comma list of outcomes; these are failed, timeout and mesh-fault
-- column: outcome    text   failed, timeout or mesh-fault
-- column: reason     text   what went wrong
-- column: host       text   where it wanted to go
-- column: port       number port at the destination
-- column: source     text   workload, pod or address of who sent it
-- column: role       text   the proxy that saw it
-- column: flows      count  flows
-- column: first_seen first  earliest start
-- column: last_seen  last   latest start
with relay as materialized (
  select id
  from relay_source
),
plain as materialized (
  select
    f.outcome,
    f.reason,
    f.role,
    f.source_id,
    f.destination_id,
    count(*) as flows,
    min(f.started_at_ms) as first_seen,
    max(f.started_at_ms) as last_seen
  from failed_flow f
  where (:since_ms is null or f.started_at_ms >= :since_ms)
    and (:until_ms is null or f.started_at_ms < :until_ms)
    and (:host is null or f.destination_id in (select id from destination where host glob :host))
    and (:path is null or instr(',' || :path || ',', ',' || f.path || ',') > 0)
    and (:outcome is null or instr(',' || :outcome || ',', ',' || f.outcome || ',') > 0)
    and (:sources is null or f.source_id in (select value from json_each(:sources)))
    and f.source_id not in (select id from relay)
  group by f.outcome, f.reason, f.role, f.source_id, f.destination_id
),
-- What another proxy handed on: who sent it, the first hop of its way says.
relayed as materialized (
  select
    f.outcome,
    f.reason,
    f.role,
    f.source_id,
    f.destination_id,
    f.started_at_ms,
    f.journey
  from failed_flow f
  where (:since_ms is null or f.started_at_ms >= :since_ms)
    and (:until_ms is null or f.started_at_ms < :until_ms)
    and (:host is null or f.destination_id in (select id from destination where host glob :host))
    and (:path is null or instr(',' || :path || ',', ',' || f.path || ',') > 0)
    and (:outcome is null or instr(',' || :outcome || ',', ',' || f.outcome || ',') > 0)
    and f.source_id in (select id from relay)
),
near as materialized (
  select distinct m.minute
  from relayed r
  join flow_minute m on m.minute between r.started_at_ms / 60000 - 3 and r.started_at_ms / 60000 + 3
  where r.journey is not null
),
hop as materialized (
  select
    h.journey,
    h.way_rank,
    h.source_id,
    h.is_claimed
  from near n
  cross join flow_minute m on m.minute = n.minute
  cross join journey_hop h on h.id between m.first_flow and m.last_flow
  where h.started_at_ms >= m.minute * 60000
    and h.started_at_ms < m.minute * 60000 + 60000
    and h.journey in (select r.journey from relayed r)
),
origin as materialized (
  select
    journey,
    max(case when way_rank = 0 then source_id end) as source_id
  from hop
  group by journey
  -- What a request id alone joins proves no source.
  having max(is_claimed) = 0
),
found as (
  select outcome, reason, role, source_id, destination_id, flows, first_seen, last_seen
  from plain
  union all
  select r.outcome, r.reason, r.role, coalesce(o.source_id, r.source_id), r.destination_id, 1, r.started_at_ms, r.started_at_ms
  from relayed r
  left join origin o on o.journey = r.journey
  where :sources is null
    or r.source_id in (select value from json_each(:sources))
    or o.source_id in (select value from json_each(:sources))
)
select
  r.outcome,
  r.reason,
  d.host,
  nullif(d.port, 0) as port,
  coalesce(s.name, s.pod, case when s.client_forwarded = 0 then s.client_ip end, s.proxy_ip, s.client_ip, '?') as source,
  r.role,
  sum(r.flows) as flows,
  min(r.first_seen) as first_seen,
  max(r.last_seen) as last_seen
from found r
join source s on s.id = r.source_id
join destination d on d.id = r.destination_id
group by r.outcome, r.reason, d.host, d.port, coalesce(s.name, s.pod, case when s.client_forwarded = 0 then s.client_ip end, s.proxy_ip, s.client_ip, '?'), r.role
order by sum(r.flows) desc, r.outcome, r.reason, d.host, d.port, coalesce(s.name, s.pod, case when s.client_forwarded = 0 then s.client_ip end, s.proxy_ip, s.client_ip, '?'), r.role;
