-- title: Traffic handed on to a gateway or proxy that has no line of it
-- about: One line per kind, proxy that handed on, next hop and evidence. next-hop-not-read is a gap of coverage: the log of the
--    next hop was not read from a minute before the flows' end until a minute after. next-hop-missing: it was read, and does not
--    tell of them: they failed there, or were lost on the way. likely, where that log shows whose it is and none of its lines
--    could be one of these; else a hint. Left out is what was refused, never sent or got no connection.
-- parameter: since_ms  first millisecond to include (Unix time)
-- parameter: until_ms  first millisecond no longer included
-- parameter: host      glob over the host, the host of Envoy's cluster or the address reached, lower case
-- parameter: sources   JSON list of source ids
-- parameter: path      comma list of paths
-- parameter: outcome   comma list of outcomes
-- column: kind       text   next-hop-missing or next-hop-not-read
-- column: confidence text   certain, likely or hint
-- column: source     text   workload, pod or address of the client
-- column: role       text   the proxy that handed it on
-- column: next_hop   text   role of the proxy that received it
-- column: address    text   where that proxy listens
-- column: host       text   where it was to go, as the line says; empty where many flows miss the same log
-- column: flows      count  flows
-- column: failed     count  of them, those that did not end well
-- column: sent       bytes  bytes towards the destination
-- column: first_seen first  earliest start
-- column: last_seen  last   latest start
-- column: evidence   text   what shows it
-- column: example    number one of these flows: gatewatch explain EXAMPLE
-- Where no log was read, a flow is like the next: they are counted first, and named afterwards.
with unread as materialized (
  select
    j.role,
    j.next_hop,
    d.upstream_ip as next_hop_address,
    j.source_id,
    count(*) as flows,
    sum(j.outcome <> 'ok') as failed,
    sum(j.bytes_sent) as sent,
    min(j.started_at_ms) as first_seen,
    max(j.started_at_ms) as last_seen,
    min(j.id) as example
  from judged_flow j
  join destination d on d.id = j.destination_id
  where j.next_hop_gap = 'next-hop-not-read'
    and not exists (
      select 1
      from open_minute m
      where m.minute between j.started_at_ms / 60000 - 1 and j.started_at_ms / 60000 + 1
    )
    and (:since_ms is null or j.started_at_ms >= :since_ms)
    and (:until_ms is null or j.started_at_ms < :until_ms)
    and (:host is null or j.destination_id in (select id from destination_name where name glob :host))
    and (:sources is null or j.source_id in (select value from json_each(:sources)))
    and (:path is null or instr(',' || :path || ',', ',' || j.path || ',') > 0)
    and (:outcome is null or instr(',' || :outcome || ',', ',' || j.outcome || ',') > 0)
  group by j.source_id, d.upstream_ip, j.role, j.next_hop
),
lost as materialized (
  select
    m.kind,
    m.confidence,
    m.role,
    m.next_hop,
    m.next_hop_address,
    m.evidence,
    m.source_id,
    -- Of what was not read, one line per log that is missing.
    case when m.kind = 'next-hop-missing' then m.destination_id end as destination_id,
    count(*) as flows,
    sum(m.outcome <> 'ok') as failed,
    sum(m.bytes_sent) as sent,
    min(m.started_at_ms) as first_seen,
    max(m.started_at_ms) as last_seen,
    min(m.id) as example
  from missing_hop_flow m
  where m.gap = 'next-hop-missing'
    and (:since_ms is null or m.started_at_ms >= :since_ms)
    and (:until_ms is null or m.started_at_ms < :until_ms)
    and (:host is null or m.destination_id in (select id from destination_name where name glob :host))
    and (:sources is null or m.source_id in (select value from json_each(:sources)))
    and (:path is null or instr(',' || :path || ',', ',' || m.path || ',') > 0)
    and (:outcome is null or instr(',' || :outcome || ',', ',' || m.outcome || ',') > 0)
  group by m.kind, m.confidence, m.role, m.next_hop, m.next_hop_address, m.evidence, m.source_id,
    case when m.kind = 'next-hop-missing' then m.destination_id end
),
missed as (
  select kind, confidence, role, next_hop, next_hop_address, evidence, source_id, destination_id, flows, failed, sent, first_seen, last_seen, example
  from lost
  union all
  select 'next-hop-not-read', 'certain', role, next_hop, next_hop_address, 'no log of it was read for this time', source_id, null, flows, failed, sent, first_seen, last_seen, example
  from unread
)
select
  m.kind,
  m.confidence,
  s.shown_name as source,
  m.role,
  m.next_hop,
  m.next_hop_address as address,
  d.host,
  sum(m.flows) as flows,
  sum(m.failed) as failed,
  sum(m.sent) as sent,
  min(m.first_seen) as first_seen,
  max(m.last_seen) as last_seen,
  m.evidence,
  min(m.example) as example
from missed m
join named_source s on s.id = m.source_id
left join destination d on d.id = m.destination_id
group by m.kind, m.confidence, s.shown_name, m.role, m.next_hop, m.next_hop_address, d.host, m.evidence
order by m.kind, sum(m.flows) desc, m.confidence desc, source, d.host, m.next_hop, m.next_hop_address, m.role, m.evidence;
