-- title: Names and addresses that do not fit together
-- about: Signs of spoofing that are certain or likely, as report suspicious lists them; hints are not told.
-- parameter: after  flows with this id or a lower one were looked at before
-- column: kind        text   what does not fit
-- column: severity    text   info, warning or critical
-- column: source      text   workload, pod or address; empty where the source does not matter
-- column: host        text   where it went
-- column: port        number port at the destination, 0 where unknown
-- column: flows       count  flows
-- column: first_seen  first  earliest start
-- column: last_seen   last   latest start
-- column: sender      text   who sent it, where the source is a proxy that handed it on
with seen as materialized (
  select
    kind,
    source_id,
    sender_id,
    destination_id,
    count(*) as flows,
    min(started_at_ms) as first_seen,
    max(started_at_ms) as last_seen
  from suspicious_flow
  -- A limit that is always there, so that rows that were looked at are passed over.
  where id > coalesce(:after, 0)
    and confidence <> 'hint'
  group by kind, source_id, sender_id, destination_id
)
select
  e.kind,
  'warning' as severity,
  s.shown_name as source,
  coalesce(d.host, '') as host,
  d.port,
  sum(e.flows) as flows,
  min(e.first_seen) as first_seen,
  max(e.last_seen) as last_seen,
  o.shown_name as sender
from seen e
join named_source s on s.id = e.source_id
join sender o on o.id = e.sender_id
join destination d on d.id = e.destination_id
group by e.kind, s.shown_name, coalesce(d.host, ''), d.port, o.shown_name
order by e.kind, source, host, d.port, sender;
