-- title: Traffic that a policy refused
-- about: One line per reason, host and source; each flow once, at the hop that refused it, which alone names the host that was
--    wanted: of a tunnel, Squid's line. The source is who sent it, where the connections of all hops show that, else who
--    came to the proxy. A destination that answered 403 by itself is not here, nor a failure of the network: gatewatch
--    report failed. Whole ways, with the hops that saw nothing of it: gatewatch report journeys --outcome blocked.
-- parameter: since_ms  first millisecond to include (Unix time)
-- parameter: until_ms  first millisecond no longer included
-- parameter: host      glob over the host, the host of Envoy's cluster or the address reached, lower case
-- parameter: sources   JSON list of source ids: of who sent it, or of who came to the proxy
-- parameter: path      comma list of paths; what was refused before it left has path none
-- parameter: outcome   comma list of outcomes; these are blocked
-- column: reason     text   the rule that refused
-- column: host       text   where it wanted to go
-- column: port       number port at the destination
-- column: source     text   workload, pod or address of who sent it
-- column: role       text   the proxy that refused
-- column: flows      count  flows
-- column: first_seen first  earliest start
-- column: last_seen  last   latest start
with route as materialized (
  select
    reason,
    role,
    sender_id,
    destination_id,
    count(*) as flows,
    min(started_at_ms) as first_seen,
    max(started_at_ms) as last_seen
  from blocked_flow b
  where (:since_ms is null or b.started_at_ms >= :since_ms)
    and (:until_ms is null or b.started_at_ms < :until_ms)
    and (:host is null or b.destination_id in (select id from destination_name where name glob :host))
    and (:sources is null or b.sender_id in (select value from json_each(:sources)))
    and (:path is null or instr(',' || :path || ',', ',' || b.path || ',') > 0)
    and (:outcome is null or instr(',' || :outcome || ',', ',blocked,') > 0)
  group by reason, role, sender_id, destination_id
)
select
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
group by r.reason, d.host, d.port, s.shown_name, r.role
order by sum(r.flows) desc, r.reason, d.host, d.port, s.shown_name, r.role;
