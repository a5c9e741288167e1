-- title: Traffic that a policy refused
-- about: One line per reason, host and source; each flow once, at the hop that refused it, which alone names the host that was
--    wanted: of a tunnel, Squid's line. The source is who sent it, where the connections of all hops show that, else who
--    came to the proxy. A destination that answered 403 by itself is not here, nor a failure of the network: gatewatch
--    report failed. Whole ways, with the hops that saw nothing of it: gatewatch report journeys --outcome blocked.
-- parameter: since_ms  first millisecond to include (Unix time)
-- parameter: until_ms  first millisecond no longer included
-- parameter: host      glob over the host, lower case
-- parameter: sources   JSON list of source ids: of who sent it, or of who came to the proxy
-- parameter: path      comma list of paths; what was refused has path none
-- parameter: outcome   comma list of outcomes; these are blocked
-- column: reason     text   the rule that refused
-- column: host       text   where it wanted to go
-- column: port       number port at the destination
-- column: source     text   workload, pod or address of who sent it
-- column: role       text   the proxy that refused
-- column: flows      count  flows
-- column: first_seen first  earliest start
-- column: last_seen  last   latest start
with relay as materialized (
  select id
  from relay_source
),
plain as materialized (
  select
    b.reason,
    b.role,
    b.source_id,
    b.destination_id,
    count(*) as flows,
    min(b.started_at_ms) as first_seen,
    max(b.started_at_ms) as last_seen
  from blocked_flow b
  where (:since_ms is null or b.started_at_ms >= :since_ms)
    and (:until_ms is null or b.started_at_ms < :until_ms)
    and (:host is null or b.destination_id in (select id from destination where host glob :host))
    and (:path is null or instr(',' || :path || ',', ',none,') > 0)
    and (:outcome is null or instr(',' || :outcome || ',', ',blocked,') > 0)
    and (:sources is null or b.source_id in (select value from json_each(:sources)))
    and b.source_id not in (select id from relay)
  group by b.reason, b.role, b.source_id, b.destination_id
),
-- What another proxy handed on: who sent it, the first hop of its way says.
relayed as materialized (
  select
    b.reason,
    b.role,
    b.source_id,
    b.destination_id,
    b.started_at_ms,
    b.journey
  from blocked_flow b
  where (:since_ms is null or b.started_at_ms >= :since_ms)
    and (:until_ms is null or b.started_at_ms < :until_ms)
    and (:host is null or b.destination_id in (select id from destination where host glob :host))
    and (:path is null or instr(',' || :path || ',', ',none,') > 0)
    and (:outcome is null or instr(',' || :outcome || ',', ',blocked,') > 0)
    and b.source_id in (select id from relay)
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
  select reason, role, source_id, destination_id, flows, first_seen, last_seen
  from plain
  union all
  select r.reason, r.role, coalesce(o.source_id, r.source_id), r.destination_id, 1, r.started_at_ms, r.started_at_ms
  from relayed r
  left join origin o on o.journey = r.journey
  where :sources is null
    or r.source_id in (select value from json_each(:sources))
    or o.source_id in (select value from json_each(:sources))
)
select
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
group by r.reason, d.host, d.port, coalesce(s.name, s.pod, case when s.client_forwarded = 0 then s.client_ip end, s.proxy_ip, s.client_ip, '?'), r.role
order by sum(r.flows) desc, r.reason, d.host, d.port, coalesce(s.name, s.pod, case when s.client_forwarded = 0 then s.client_ip end, s.proxy_ip, s.client_ip, '?'), r.role;
