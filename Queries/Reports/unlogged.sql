-- title: Clients of which no sidecar log was read
-- about: Who came to a gateway, an SNI proxy or a forward proxy, and wrote no line of its own in any log that was read. Either its
--    log was not collected, or it has no sidecar, or it went past it: the logs at hand cannot say which. What came over
--    loopback came from a process in the proxy's own pod, which has no sidecar: like clients whose log was read for another
--    time, it is in report unproven.
-- parameter: since_ms  first millisecond to include (Unix time)
-- parameter: until_ms  first millisecond no longer included
-- parameter: host      glob over the host, the host of Envoy's cluster or the address reached, lower case
-- parameter: sources   JSON list of source ids
-- column: client     text   workload, pod or address
-- column: seen_by    text   roles of the proxies that saw it
-- column: flows      count  flows
-- column: hosts      number different hosts
-- column: first_seen first  earliest start
-- column: last_seen  last   latest start
with seen as materialized (
  select
    source_id,
    destination_id,
    role,
    count(*) as flows,
    min(started_at_ms) as first_seen,
    max(started_at_ms) as last_seen
  from judged_flow j
  where j.duplicate_view = 0
    and instr(',' || j.verdict_warnings || ',', ',source-unproven,') > 0
    and j.source_id in (select id from unlogged_source)
    and (:since_ms is null or j.started_at_ms >= :since_ms)
    and (:until_ms is null or j.started_at_ms < :until_ms)
    and (:host is null or j.destination_id in (select id from destination_name where name glob :host))
    and (:sources is null or j.source_id in (select value from json_each(:sources)))
  group by source_id, destination_id, role
),
named as (
  select
    coalesce(s.name, case when s.client_forwarded = 0 then s.client_ip end, s.client_ip, '?') as client,
    v.role,
    d.host,
    v.flows,
    v.first_seen,
    v.last_seen
  from seen v
  join source s on s.id = v.source_id
  join destination d on d.id = v.destination_id
),
place as (
  select client, group_concat(role, ', ') as seen_by
  from (select distinct client, role from named order by client, role)
  group by client
)
select
  n.client,
  p.seen_by,
  sum(n.flows) as flows,
  count(distinct n.host) as hosts,
  min(n.first_seen) as first_seen,
  max(n.last_seen) as last_seen
from named n
join place p on p.client = n.client
group by n.client
order by sum(n.flows) desc, n.client;
