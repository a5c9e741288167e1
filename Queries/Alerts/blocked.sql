-- title: Traffic that a policy refused
-- about: Told when a host meets more refusals between two runs than --blocked-threshold.
-- parameter: after  flows with this id or a lower one were looked at before
-- column: kind        text   what it is
-- column: severity    text   info, warning or critical
-- column: source      text   workload, pod or address; empty where the source does not matter
-- column: host        text   where it went
-- column: port        number port at the destination, 0 where unknown
-- column: flows       count  flows
-- column: first_seen  first  earliest start
-- column: last_seen   last   latest start
-- column: sender      text   who sent it, where the source is a proxy that handed it on
with refused as materialized (
  select
    source_id,
    sender_id,
    destination_id,
    count(*) as flows,
    min(started_at_ms) as first_seen,
    max(started_at_ms) as last_seen
  from blocked_flow
  -- A limit that is always there, so that rows that were looked at are passed over.
  where id > coalesce(:after, 0)
  group by source_id, sender_id, destination_id
)
select
  'blocked' as kind,
  'warning' as severity,
  s.shown_name as source,
  coalesce(d.host, '') as host,
  d.port,
  sum(r.flows) as flows,
  min(r.first_seen) as first_seen,
  max(r.last_seen) as last_seen,
  o.shown_name as sender
from refused r
join named_source s on s.id = r.source_id
join sender o on o.id = r.sender_id
join destination d on d.id = r.destination_id
group by s.shown_name, coalesce(d.host, ''), d.port, o.shown_name
order by source, host, d.port, sender;
