-- title: Where traffic went
-- about: One line per host, each flow counted once, at the hop closest to the destination: so the host of a tunnel and its
--    end are Squid's or the SNI proxy's word. Sources are who sent it, where the connections of all hops show that, else who
--    came to that hop. Traffic inside the mesh is left out unless --path internal asks for it.
-- parameter: since_ms  first millisecond to include (Unix time)
-- parameter: until_ms  first millisecond no longer included
-- parameter: host      glob over the host, the host of Envoy's cluster or the address reached, lower case
-- parameter: sources   JSON list of source ids: of who sent it, or of who came to the proxy
-- parameter: path      comma list of paths
-- parameter: outcome   comma list of outcomes
-- column: host       text   the destination
-- column: flows      count  requests and connections
-- column: sources    number distinct workloads or addresses
-- column: sent       bytes  bytes towards the host
-- column: received   bytes  bytes from the host
-- column: first_seen first  earliest start
-- column: last_seen  last   latest start
-- column: protocols  text   protocols met
-- column: ports      text   ports met
-- column: paths      text   ways taken
-- column: ok         count  flows that went well
-- column: blocked    count  refused by a policy
-- column: failed     count  failed, timed out or broken by the mesh
-- column: other      count  client gone, challenges, noise
with route as materialized (
  select
    sender_id,
    destination_id,
    outcome_id,
    path,
    outcome,
    count(*) as flows,
    sum(bytes_sent) as sent,
    sum(bytes_received) as received,
    min(started_at_ms) as first_seen,
    max(started_at_ms) as last_seen
  from counted_flow c
  where (:since_ms is null or c.started_at_ms >= :since_ms)
    and (:until_ms is null or c.started_at_ms < :until_ms)
    and (:host is null or c.destination_id in (select id from destination_name where name glob :host))
    and (:sources is null or c.sender_id in (select value from json_each(:sources)))
    and (:path is null or instr(',' || :path || ',', ',' || c.path || ',') > 0)
    and (:outcome is null or instr(',' || :outcome || ',', ',' || c.outcome || ',') > 0)
    and (:path is not null or c.path <> 'internal')
  group by sender_id, destination_id, outcome_id, path, outcome
)
select
  d.host,
  sum(r.flows) as flows,
  count(distinct s.shown_name) as sources,
  sum(r.sent) as sent,
  sum(r.received) as received,
  min(r.first_seen) as first_seen,
  max(r.last_seen) as last_seen,
  group_concat(distinct o.protocol) as protocols,
  group_concat(distinct nullif(d.port, 0)) as ports,
  group_concat(distinct r.path) as paths,
  sum(case when r.outcome = 'ok' then r.flows else 0 end) as ok,
  sum(case when r.outcome = 'blocked' then r.flows else 0 end) as blocked,
  sum(case when r.outcome in ('failed', 'timeout', 'mesh-fault') then r.flows else 0 end) as failed,
  sum(case when r.outcome not in ('ok', 'blocked', 'failed', 'timeout', 'mesh-fault') then r.flows else 0 end) as other
from route r
join sender s on s.id = r.sender_id
join destination d on d.id = r.destination_id
join outcome o on o.id = r.outcome_id
group by d.host
order by sum(r.flows) desc, d.host;
