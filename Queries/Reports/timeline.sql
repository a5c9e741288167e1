-- title: Traffic over time
-- about: Flows per hour (UTC), each counted once; --param by=day or by=minute for another step. Steps without
--    flows are left out. Bypasses are counted as in the report bypass, line by line: having been seen at a later hop does not
--    undo one.
-- rows: all
-- parameter: since_ms  first millisecond to include (Unix time)
-- parameter: until_ms  first millisecond no longer included
-- parameter: host      glob over the host, the host of Envoy's cluster or the address reached, lower case
-- parameter: sources   JSON list of source ids: of who sent it, or of who came to the proxy
-- parameter: path      comma list of paths
-- parameter: outcome   comma list of outcomes
-- parameter: by        day, hour (unless given) or minute
-- column: starts   time   start of the step
-- column: flows    count  flows
-- column: ok       count  went well
-- column: blocked  count  refused by a policy
-- column: failed   count  failed or broken by the mesh
-- column: timeouts count  given up on
-- column: other    count  client gone, challenges, noise, not judged
-- column: bypass   count  around the gateway, no exception allows it
-- column: sent     bytes  bytes towards the destinations
-- column: received bytes  bytes from the destinations
with step as (
  select case coalesce(:by, 'hour') when 'day' then 86400000 when 'hour' then 3600000 when 'minute' then 60000 end as ms
)
select
  c.started_at_ms - ((c.started_at_ms % step.ms) + step.ms) % step.ms as starts,
  sum(c.counted) as flows,
  sum(c.counted and c.outcome = 'ok') as ok,
  sum(c.counted and c.outcome = 'blocked') as blocked,
  sum(c.counted and c.outcome in ('failed', 'mesh-fault')) as failed,
  sum(c.counted and c.outcome = 'timeout') as timeouts,
  sum(c.counted and c.outcome not in ('ok', 'blocked', 'failed', 'mesh-fault', 'timeout')) as other,
  sum(c.bypass is not null and c.exception_id is null) as bypass,
  sum(case when c.counted then c.bytes_sent end) as sent,
  sum(case when c.counted then c.bytes_received end) as received
from judged_flow c
cross join step
where (c.counted = 1 or (c.bypass is not null and c.duplicate_view = 0))
  and (:since_ms is null or c.started_at_ms >= :since_ms)
  and (:until_ms is null or c.started_at_ms < :until_ms)
  and (:host is null or c.destination_id in (select id from destination_name where name glob :host))
  and (:sources is null or c.sender_id in (select value from json_each(:sources)))
  and (:path is null or instr(',' || :path || ',', ',' || c.path || ',') > 0)
  and (:outcome is null or instr(',' || :outcome || ',', ',' || c.outcome || ',') > 0)
group by starts
order by starts;
