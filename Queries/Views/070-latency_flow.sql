-- What latency is measured on: flows that left, with a duration, at the counted hop (the one closest to the destination).
--
-- `traffic` keeps two things apart that must never be mixed: http is the time of one request, tcp the life of one
-- connection. One vantage per host and path: group by host, path, traffic and `vantage`, and where several remain
-- for one host, path and traffic (the logs cover different times), take the highest `vantage_rank`. Timeouts are in, as
-- outcome timeout: how long they took says how long the client waited.
create view latency_flow as
select
  j.id,
  j.started_at_ms,
  j.started_at_ms / 1000 as started_at_epoch,
  j.duration_ms,
  j.source_id,
  j.sender_id,
  j.destination_id,
  j.outcome_id,
  d.host,
  d.port,
  d.traffic,
  j.path,
  j.outcome,
  j.role as vantage,
  case j.role
    when 'forward-proxy' then 4
    when 'sni-proxy' then 4
    when 'gateway' then 3
    when 'waypoint' then 2
    when 'sidecar' then 1
    else 0
  end as vantage_rank
from judged_flow j
join destination d on d.id = j.destination_id
where j.counted = 1
  and j.duration_ms is not null
  and j.path not in ('none', 'internal')
  and j.outcome not in ('blocked', 'noise', 'challenge');
