-- Flows that a proxy handed on to a gateway or another proxy of which no line is joined to them. What was refused, never
-- sent, or did not get a connection is not here, nor a line that can be read in more than one way. `kind`:
--   next-hop-not-read  the log of the next hop was not read from a minute before the flow's end until a minute after it, or
--                      has a gap there: a gap of coverage
--   next-hop-missing   it was, and does not tell of this flow: something failed there, or was lost on the way
-- `confidence`: certain, where no log of that proxy was read at all for this time; likely, where a log shows that it is that
-- proxy's, and no line in it could be this flow, also none whose client a header alone names; else hint. A flow whose connection is in the log of the next hop is not missing, though nobody can tell which line is its.
-- Flows of which joining has not been done yet are left out. `gap` is what judged_flow says before logs are looked at.
create view missing_hop_flow as
with candidate as materialized (
  select
    j.id,
    j.started_at_ms,
    j.started_at_ms + max(coalesce(j.duration_ms, 0), 0) as ended_at_ms,
    j.duration_ms,
    j.source_id,
    j.destination_id,
    j.outcome_id,
    j.local_port,
    j.bytes_sent,
    j.bytes_received,
    j.line,
    j.log_id,
    j.role,
    j.path,
    j.outcome,
    j.reason,
    j.next_hop
  from judged_flow j
  where j.next_hop_gap = 'next-hop-missing'
    and not exists (
      select 1
      from open_minute m
      where m.minute between j.started_at_ms / 60000 - 1 and j.started_at_ms / 60000 + 1
    )
),
next_log as materialized (
  select log, path, first_ms, last_ms, role, address, pod
  from hop_log
  where exists (select 1 from candidate)
),
gap as materialized (
  select p.log, p.from_ms, p.until_ms
  from log_pause p
  where p.is_gap = 1
    and p.log in (select h.log from next_log h where h.role in ('gateway', 'sni-proxy', 'forward-proxy'))
),
-- Lines that were received, and whose earlier hop is not known.
lone as materialized (
  select
    -- Whom a header names says nothing of who connected: it may have been anybody.
    case
      when s.client_forwarded = 1 then null
      when s.client_ip = '::1' or s.client_ip glob '127.*' then 'loopback'
      else s.client_ip
    end as client,
    nullif(nullif(s.proxy_ip, '0.0.0.0'), '::') as address,
    coalesce(s.namespace, '') || '/' || s.pod as pod,
    j.source_port,
    j.role,
    j.started_at_ms,
    j.started_at_ms + max(coalesce(j.duration_ms, 0), 0) as ended_at_ms,
    -- What ends within ten seconds of another ends in the same such stretch, or in one beside it.
    (j.started_at_ms + max(coalesce(j.duration_ms, 0), 0)) / 10000 as stretch
  from judged_flow j
  join source s on s.id = j.source_id
  where exists (select 1 from candidate)
    and j.role in ('gateway', 'sni-proxy', 'forward-proxy')
    and coalesce(j.journey_place, 0) & 9 = 0
    and j.duplicate_view = 0
    and j.outcome <> 'noise'
),
unnamed as materialized (
  select address, pod, source_port, role, ended_at_ms, stretch
  from lone
  where client is null
),
beside (stretches) as (values (-1), (0), (1)),
weighed as materialized (
  select
    c.id,
    -- From where that proxy sees this one come: in one pod over loopback, else from its address.
    case
      when d.upstream_ip = '::1' or d.upstream_ip glob '127.*' then 'loopback'
      else coalesce(s.proxy_ip, d.upstream_ip)
    end as client,
    d.upstream_ip,
    coalesce(s.namespace, '') || '/' || s.pod as pod,
    -- NULL where no log was read over all of that time.
    max(h.path) as hop_path,
    coalesce(max(h.address is not null), 0) as is_known,
    -- Of the logs of that proxy, whatever time they cover.
    max(o.log) as hop_log
  from candidate c
  join source s on s.id = c.source_id
  join destination d on d.id = c.destination_id
  -- Each pod has a loopback of its own.
  left join next_log o on o.role = c.next_hop
    and case
      when d.upstream_ip = '::1' or d.upstream_ip glob '127.*'
        then o.pod is null or s.pod is null or o.pod = coalesce(s.namespace, '') || '/' || s.pod
      else o.address is null or o.address = d.upstream_ip
    end
  left join next_log h on h.log = o.log
    and h.address is o.address
    and h.pod is o.pod
    and h.role = o.role
    and h.first_ms <= c.ended_at_ms - 60000
    and h.last_ms >= c.ended_at_ms + 60000
    and not exists (
      select 1
      from gap g
      where g.log = h.log
        and g.from_ms < c.ended_at_ms
        and g.until_ms > c.ended_at_ms
    )
  group by c.id
),
found as materialized (
  select
    w.id,
    w.hop_path,
    w.is_known,
    w.hop_log,
    exists (
      select 1
      from lone n
      where n.client = w.client
        and (w.client <> 'loopback' or n.pod is null or w.pod is null or n.pod = w.pod)
        and n.source_port = c.local_port
        and n.source_port > 0
        and n.role = c.next_hop
        and n.started_at_ms between c.started_at_ms - 10000 and c.ended_at_ms + 10000
    ) as is_there,
    -- One by one, and the address without its column's affinity, which the other side has not: else nothing can be looked up.
    exists (
      select 1
      from beside b
      cross join lone n
      where n.client = w.client
        and n.role = c.next_hop
        and n.stretch = c.ended_at_ms / 10000 + b.stretches
        and n.ended_at_ms between c.ended_at_ms - 10000 and c.ended_at_ms + 10000
        and (w.client <> 'loopback' or n.pod is null or w.pod is null or n.pod = w.pod)
        and (n.source_port = 0 or c.local_port = 0)
    )
    or exists (
      select 1
      from beside b
      cross join lone n
      where n.client = +w.upstream_ip
        and n.role = c.next_hop
        and n.stretch = c.ended_at_ms / 10000 + b.stretches
        and n.ended_at_ms between c.ended_at_ms - 10000 and c.ended_at_ms + 10000
        and (w.client <> 'loopback' or n.pod is null or w.pod is null or n.pod = w.pod)
        and (n.source_port = 0 or c.local_port = 0)
    )
    or exists (
      select 1
      from beside b
      cross join unnamed n
      where coalesce(n.address, w.upstream_ip) = w.upstream_ip
        and n.role = c.next_hop
        and n.stretch = c.ended_at_ms / 10000 + b.stretches
        and n.ended_at_ms between c.ended_at_ms - 10000 and c.ended_at_ms + 10000
        and (w.client <> 'loopback' or n.pod is null or w.pod is null or n.pod = w.pod)
        and (n.source_port = 0 or c.local_port = 0)
    ) as may_be_there
  from weighed w
  join candidate c on c.id = w.id
)
select
  c.id,
  c.started_at_ms,
  c.started_at_ms / 1000 as started_at_epoch,
  c.duration_ms,
  c.source_id,
  c.destination_id,
  c.outcome_id,
  c.bytes_sent,
  c.bytes_received,
  c.line,
  c.log_id,
  c.role,
  c.path,
  c.outcome,
  c.reason,
  c.next_hop,
  d.upstream_ip as next_hop_address,
  -- A log that holds lines of it; NULL where none does.
  f.hop_log as next_hop_log,
  case when f.hop_path is null then 'next-hop-not-read' else 'next-hop-missing' end as kind,
  case
    when f.may_be_there = 0 and (f.hop_path is null or f.is_known = 1) then 'likely'
    else 'hint'
  end as confidence,
  case
    when f.hop_path is null then 'its log ends too early, begins too late, or has a gap at this time'
    else f.hop_path || ' was read for this time'
  end
    || case
      when f.may_be_there = 1 then '; one of its lines without an earlier hop may be it, none is shown to be'
      when f.hop_path is null then '; none of the lines that it has could be it'
      when f.is_known = 0 then '; none of its lines could be it, if it is that proxy''s log'
      else '; none of its lines could be it'
    end as evidence,
  'next-hop-missing' as gap
from candidate c
join destination d on d.id = c.destination_id
join found f on f.id = c.id
where f.is_there = 0
union all
select
  j.id,
  j.started_at_ms,
  j.started_at_ms / 1000,
  j.duration_ms,
  j.source_id,
  j.destination_id,
  j.outcome_id,
  j.bytes_sent,
  j.bytes_received,
  j.line,
  j.log_id,
  j.role,
  j.path,
  j.outcome,
  j.reason,
  j.next_hop,
  d.upstream_ip,
  null,
  'next-hop-not-read',
  'certain',
  'no log of it was read for this time',
  'next-hop-not-read'
from judged_flow j
join destination d on d.id = j.destination_id
where j.next_hop_gap = 'next-hop-not-read'
  and not exists (
    select 1
    from open_minute m
    where m.minute between j.started_at_ms / 60000 - 1 and j.started_at_ms / 60000 + 1
  );
