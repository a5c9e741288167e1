-- title: Traffic that found no answer
-- about: One line per outcome, reason, host and source; each flow once, at the hop closest to the destination, which alone sees
--    why: a tunnel that ends with 502 at an SNI proxy, or at Squid, looks fine to all hops before. The source is who sent
--    it, where the connections of all hops show that, else who came to the proxy. What a policy refused is in report
--    blocked. Whole ways: gatewatch report journeys --outcome failed.
-- parameter: since_ms  first millisecond to include (Unix time)
-- parameter: until_ms  first millisecond no longer included
-- parameter: host      glob over the host, the host of Envoy's cluster or the address reached, lower case
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
with route as materialized (
  select
    outcome,
    reason,
    role,
    sender_id,
    destination_id,
    count(*) as flows,
    min(started_at_ms) as first_seen,
    max(started_at_ms) as last_seen
  from failed_flow f
  where (:since_ms is null or f.started_at_ms >= :since_ms)
    and (:until_ms is null or f.started_at_ms < :until_ms)
    and (:host is null or f.destination_id in (select id from destination_name where name glob :host))
    and (:sources is null or f.sender_id in (select value from json_each(:sources)))
    and (:path is null or instr(',' || :path || ',', ',' || f.path || ',') > 0)
    and (:outcome is null or instr(',' || :outcome || ',', ',' || f.outcome || ',') > 0)
  group by outcome, reason, role, sender_id, destination_id
)
select
  r.outcome,
  r.reason,
  d.host,
  nullif(d.port, 0) as port,
  s.shown_name as source,
  r.role,
  sum(r.flows) as flows,
  min(r.first_seen) as first_seen,
  max(r.last_seen) as last_seen
from route r
join sender s on s.id = r.sender_id
join destination d on d.id = r.destination_id
group by r.outcome, r.reason, d.host, d.port, s.shown_name, r.role
order by sum(r.flows) desc, r.outcome, r.reason, d.host, d.port, s.shown_name, r.role;
