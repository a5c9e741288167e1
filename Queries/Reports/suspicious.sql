-- title: Names and addresses that do not fit together
-- about: Signs of spoofing: what was seen, each with its confidence, and no word of guilt. certain and likely ones are told by
--    alert; a hint has harmless causes as often as not. Refused traffic is in report blocked. An address counts as a host's
--    where the mesh's DNS, an SNI proxy or Squid chose it, never for what a client wrote.
-- parameter: since_ms  first millisecond to include (Unix time)
-- parameter: until_ms  first millisecond no longer included
-- parameter: host      glob over the host, the host of Envoy's cluster or the address reached, lower case
-- parameter: sources   JSON list of source ids
-- parameter: path      comma list of paths
-- parameter: outcome   comma list of outcomes
-- column: kind       text   what does not fit
-- column: confidence text   certain, likely or hint
-- column: source     text   workload, pod or address
-- column: host       text   where it went, as the line says
-- column: address    text   where the bytes went, or were to go
-- column: port       number port at the destination
-- column: flows      count  flows
-- column: first_seen first  earliest start
-- column: last_seen  last   latest start
-- column: evidence   text   what was seen
with seen as materialized (
  select
    kind,
    confidence,
    address,
    evidence,
    source_id,
    destination_id,
    count(*) as flows,
    min(started_at_ms) as first_seen,
    max(started_at_ms) as last_seen
  from suspicious_flow f
  where (:since_ms is null or f.started_at_ms >= :since_ms)
    and (:until_ms is null or f.started_at_ms < :until_ms)
    and (:host is null or f.destination_id in (select id from destination_name where name glob :host))
    and (:sources is null or f.source_id in (select value from json_each(:sources)))
    and (:path is null or instr(',' || :path || ',', ',' || f.path || ',') > 0)
    and (:outcome is null or instr(',' || :outcome || ',', ',' || f.outcome || ',') > 0)
  group by kind, confidence, address, evidence, source_id, destination_id
)
select
  e.kind,
  e.confidence,
  s.shown_name as source,
  d.host,
  e.address,
  nullif(d.port, 0) as port,
  sum(e.flows) as flows,
  min(e.first_seen) as first_seen,
  max(e.last_seen) as last_seen,
  e.evidence
from seen e
join named_source s on s.id = e.source_id
join destination d on d.id = e.destination_id
group by e.kind, e.confidence, s.shown_name, d.host, e.address, d.port, e.evidence
order by
  case e.confidence when 'certain' then 0 when 'likely' then 1 else 2 end,
  sum(e.flows) desc, e.kind, source, d.host, e.address, d.port, e.evidence;
