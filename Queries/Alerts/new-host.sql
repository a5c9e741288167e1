-- title: External hosts seen for the first time
-- about: Whichever way the traffic left, also through the gateway; told once per host.
-- parameter: after  flows with this id or a lower one were looked at before
-- column: kind        text   what it is
-- column: severity    text   info, warning or critical
-- column: source      text   workload, pod or address; empty where the source does not matter
-- column: host        text   where it went
-- column: port        number port at the destination, 0 where unknown
-- column: flows       count  flows
-- column: first_seen  first  earliest start
-- column: last_seen   last   latest start
with reached as materialized (
  select
    destination_id,
    count(*) as flows,
    min(started_at_ms) as first_seen,
    max(started_at_ms) as last_seen
  from counted_flow
  where path not in ('none', 'internal')
    and outcome <> 'noise'
    -- A limit that is always there, so that rows that were looked at are passed over.
    and id > coalesce(:after, 0)
  group by destination_id
)
select
  'new-host' as kind,
  'warning' as severity,
  '' as source,
  coalesce(d.host, '') as host,
  0 as port,
  sum(r.flows) as flows,
  min(r.first_seen) as first_seen,
  max(r.last_seen) as last_seen
from reached r
join destination d on d.id = r.destination_id
group by coalesce(d.host, '')
order by host;
