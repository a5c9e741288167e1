-- title: Traffic around the egress gateway
-- about: What no exception of the policy allows. The kind is the way it went around. One finding may have several
--    lines, one for each hop that was bypassed and each proof of it.
-- parameter: after  flows with this id or a lower one were looked at before
-- column: kind        text   what it is
-- column: severity    text   info, warning or critical
-- column: source      text   workload, pod or address; empty where the source does not matter
-- column: host        text   where it went
-- column: port        number port at the destination, 0 where unknown
-- column: flows       count  flows
-- column: first_seen  first  earliest start
-- column: last_seen   last   latest start
-- column: around      text   which hop it went around: gateway or sidecar
-- column: reason      text   what proves it where the line alone does not
-- column: sender      text   who sent it, where the source is a proxy that handed it on
with route as materialized (
  select
    bypass,
    around,
    bypass_reason,
    max(case severity when 'critical' then 2 when 'warning' then 1 else 0 end) as weight,
    source_id,
    sender_id,
    destination_id,
    count(*) as flows,
    min(started_at_ms) as first_seen,
    max(started_at_ms) as last_seen
  from bypass_flow
  where allowed = 0
    -- A limit that is always there, so that rows that were looked at are passed over.
    and id > coalesce(:after, 0)
  group by bypass, around, bypass_reason, source_id, sender_id, destination_id
)
select
  r.bypass as kind,
  case max(r.weight) when 2 then 'critical' when 1 then 'warning' else 'info' end as severity,
  s.shown_name as source,
  coalesce(d.host, '') as host,
  d.port,
  sum(r.flows) as flows,
  min(r.first_seen) as first_seen,
  max(r.last_seen) as last_seen,
  r.around,
  r.bypass_reason as reason,
  o.shown_name as sender
from route r
join named_source s on s.id = r.source_id
join sender o on o.id = r.sender_id
join destination d on d.id = r.destination_id
group by r.bypass, r.around, r.bypass_reason, s.shown_name, coalesce(d.host, ''), d.port, o.shown_name
order by kind, source, host, d.port, r.around, r.bypass_reason, sender;
