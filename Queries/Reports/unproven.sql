-- title: Traffic of which nothing proves the way it took
-- about: No finding and no all-clear: the path is unknown, rests on an assumption, or the line can be read in
--    more than one way.
-- parameter: since_ms  first millisecond to include (Unix time)
-- parameter: until_ms  first millisecond no longer included
-- parameter: host      glob over the host, lower case
-- parameter: sources   JSON list of source ids
-- parameter: path      comma list of paths
-- parameter: outcome   comma list of outcomes
-- column: why        text   not-judged, ambiguous-columns, path-unknown, assumption or source-unproven
-- column: source     text   workload, pod or address
-- column: host       text   where it went
-- column: port       number port at the destination
-- column: path       text   the way it would have taken
-- column: flows      count  flows
-- column: sent       bytes  bytes towards the destination
-- column: received   bytes  bytes from the destination
-- column: first_seen first  earliest start
-- column: last_seen  last   latest start
-- column: assumption text   what would have to be true
with doubtful as materialized (
  select
    why,
    path,
    assumption,
    source_id,
    destination_id,
    count(*) as flows,
    sum(bytes_sent) as sent,
    sum(bytes_received) as received,
    min(started_at_ms) as first_seen,
    max(started_at_ms) as last_seen
  from unproven_flow u
  where (:since_ms is null or u.started_at_ms >= :since_ms)
    and (:until_ms is null or u.started_at_ms < :until_ms)
    and (:host is null or u.destination_id in (select id from destination where host glob :host))
    and (:sources is null or u.source_id in (select value from json_each(:sources)))
    and (:path is null or instr(',' || :path || ',', ',' || u.path || ',') > 0)
    and (:outcome is null or instr(',' || :outcome || ',', ',' || u.outcome || ',') > 0)
  group by why, path, assumption, source_id, destination_id
)
select
  u.why,
  coalesce(s.name, s.pod, case when s.client_forwarded = 0 then s.client_ip end, s.proxy_ip, s.client_ip, '?') as source,
  d.host,
  nullif(d.port, 0) as port,
  u.path,
  sum(u.flows) as flows,
  sum(u.sent) as sent,
  sum(u.received) as received,
  min(u.first_seen) as first_seen,
  max(u.last_seen) as last_seen,
  u.assumption
from doubtful u
join source s on s.id = u.source_id
join destination d on d.id = u.destination_id
group by u.why, coalesce(s.name, s.pod, case when s.client_forwarded = 0 then s.client_ip end, s.proxy_ip, s.client_ip, '?'), d.host, d.port, u.path, u.assumption
order by sum(u.flows) desc, u.why, coalesce(s.name, s.pod, case when s.client_forwarded = 0 then s.client_ip end, s.proxy_ip, s.client_ip, '?'), d.host, d.port, u.path, u.assumption;
