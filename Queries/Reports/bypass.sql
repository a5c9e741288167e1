-- title: Traffic that left around the egress gateway
-- about: One line per kind, proof, source, host and port. Lines that an exception of the policy allows stand below
--    the findings, with the exception's label and owner.
-- parameter: since_ms  first millisecond to include (Unix time)
-- parameter: until_ms  first millisecond no longer included
-- parameter: host      glob over the host, the host of Envoy's cluster or the address reached, lower case
-- parameter: sources   JSON list of source ids
-- parameter: path      comma list of paths
-- parameter: outcome   comma list of outcomes
-- column: severity   text   info, warning or critical; allowed ones are info
-- column: bypass     text   how it went around
-- column: around     text   which hop it went around: the gateway or the client's sidecar
-- column: source     text   workload, pod or address
-- column: host       text   where it went
-- column: port       number port at the destination
-- column: flows      count  flows
-- column: sent       bytes  bytes towards the destination
-- column: received   bytes  bytes from the destination
-- column: first_seen first  earliest start
-- column: last_seen  last   latest start
-- column: reason     text   what proves it where the line alone does not
-- column: allowed_by text   the exception that allows it, with its owner
with route as materialized (
  select
    bypass,
    around,
    bypass_reason,
    severity,
    exception_id,
    source_id,
    destination_id,
    count(*) as flows,
    sum(bytes_sent) as sent,
    sum(bytes_received) as received,
    min(started_at_ms) as first_seen,
    max(started_at_ms) as last_seen
  from bypass_flow b
  where (:since_ms is null or b.started_at_ms >= :since_ms)
    and (:until_ms is null or b.started_at_ms < :until_ms)
    and (:host is null or b.destination_id in (select id from destination_name where name glob :host))
    and (:sources is null or b.source_id in (select value from json_each(:sources)))
    and (:path is null or instr(',' || :path || ',', ',' || b.path || ',') > 0)
    and (:outcome is null or instr(',' || :outcome || ',', ',' || b.outcome || ',') > 0)
  group by bypass, around, bypass_reason, severity, exception_id, source_id, destination_id
)
select
  r.severity,
  r.bypass,
  r.around,
  s.shown_name as source,
  d.host,
  nullif(d.port, 0) as port,
  sum(r.flows) as flows,
  sum(r.sent) as sent,
  sum(r.received) as received,
  min(r.first_seen) as first_seen,
  max(r.last_seen) as last_seen,
  r.bypass_reason as reason,
  case when e.id is not null then e.label || coalesce(' (' || nullif(e.owner, '') || ')', '') end as allowed_by
from route r
join named_source s on s.id = r.source_id
join destination d on d.id = r.destination_id
left join policy_exception e on e.id = r.exception_id
group by r.severity, r.bypass, r.around, r.bypass_reason, s.shown_name, d.host, d.port, r.exception_id
order by
  r.exception_id is not null,
  case r.severity when 'critical' then 1 when 'warning' then 2 else 3 end,
  sum(r.flows) desc, r.bypass, s.shown_name, d.host, d.port, r.around, r.bypass_reason, r.exception_id;
