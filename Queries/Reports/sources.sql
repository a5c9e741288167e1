-- title: Who sent traffic
-- about: One line per workload, pod or address, each flow counted once, at the hop closest to the destination, under who sent
--    it, where the connections of all hops show that, else under who came to that hop: a gateway or proxy, or 127.0.0.1
--    where both are in one pod, stands for what it handed on of which no earlier line was read, or none fits for certain.
--    Traffic inside the mesh is left out unless --path internal asks for it. Bypasses are counted as in the report bypass, line by
--    line: having been seen at a later hop does not undo one.
-- parameter: since_ms  first millisecond to include (Unix time)
-- parameter: until_ms  first millisecond no longer included
-- parameter: host      glob over the host, the host of Envoy's cluster or the address reached, lower case
-- parameter: sources   JSON list of source ids: of who sent it, or of who came to the proxy
-- parameter: path      comma list of paths
-- parameter: outcome   comma list of outcomes
-- column: source     text   workload, pod or address
-- column: flows      count  requests and connections
-- column: hosts      number distinct hosts
-- column: sent       bytes  bytes towards the hosts
-- column: received   bytes  bytes from the hosts
-- column: bypass     count  flows around the gateway that no exception allows
-- column: blocked    count  refused by a policy
-- column: failed     count  failed, timed out or broken by the mesh
-- column: first_seen first  earliest start
-- column: last_seen  last   latest start
-- column: seen_by    text   roles of the proxies that logged it
with route as materialized (
  select
    sender_id,
    destination_id,
    role,
    outcome,
    bypass is not null and exception_id is null as is_bypass,
    counted,
    count(*) as flows,
    sum(bytes_sent) as sent,
    sum(bytes_received) as received,
    min(started_at_ms) as first_seen,
    max(started_at_ms) as last_seen
  from judged_flow c
  where (c.counted = 1 or (c.bypass is not null and c.duplicate_view = 0))
    and (:since_ms is null or c.started_at_ms >= :since_ms)
    and (:until_ms is null or c.started_at_ms < :until_ms)
    and (:host is null or c.destination_id in (select id from destination_name where name glob :host))
    and (:sources is null or c.sender_id in (select value from json_each(:sources)))
    and (:path is null or instr(',' || :path || ',', ',' || c.path || ',') > 0)
    and (:outcome is null or instr(',' || :outcome || ',', ',' || c.outcome || ',') > 0)
    and (:path is not null or c.path <> 'internal')
  group by sender_id, destination_id, role, outcome, is_bypass, counted
)
select
  s.shown_name as source,
  sum(case when r.counted then r.flows else 0 end) as flows,
  count(distinct case when r.counted then d.host end) as hosts,
  sum(case when r.counted then r.sent end) as sent,
  sum(case when r.counted then r.received end) as received,
  sum(case when r.is_bypass then r.flows else 0 end) as bypass,
  sum(case when r.counted and r.outcome = 'blocked' then r.flows else 0 end) as blocked,
  sum(case when r.counted and r.outcome in ('failed', 'timeout', 'mesh-fault') then r.flows else 0 end) as failed,
  min(r.first_seen) as first_seen,
  max(r.last_seen) as last_seen,
  group_concat(distinct r.role) as seen_by
from route r
join sender s on s.id = r.sender_id
join destination d on d.id = r.destination_id
group by s.shown_name
order by 2 desc, s.shown_name;
