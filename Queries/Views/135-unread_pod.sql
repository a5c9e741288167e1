-- Pods of the mesh, by the imported topology, of which nothing was read while they were there. What they sent past the gateway
-- stands in no log at hand. `proxy` is
--   sidecar   no line that their sidecar wrote, by its address, or by the pod's name where the log tells it; an empty file under a
--             pod's name proves nothing
--   ambient   ztunnel carries them, and nothing understands its log: whatever other logs hold. A waypoint's tells of the requests to
--             what it stands before, and of nothing else that its clients send
-- `first_ms` and `until_ms` are those of `pod_life`.
create view unread_pod as
-- Who wrote lines, and until when, where joining has noted it; else the log's first and last. What another container than the
-- sidecar's prints may look like anybody's line, and is none.
with line as materialized (
  select distinct
    s.proxy_ip as address,
    s.namespace,
    s.pod,
    coalesce(s.first_end_ms, l.first_ms, -9223372036854775807) as first_ms,
    coalesce(s.last_end_ms, l.last_ms, 9223372036854775806) as last_ms
  from source s
  left join log l on l.id = s.log
  where s.proxy = 'envoy'
    and (s.proxy_ip is not null or s.pod is not null)
    and coalesce(s.container, 'istio-proxy') = 'istio-proxy'
),
-- Of two pods of one name, each has lines of its own.
read as materialized (
  select a.life
  from line l
  cross join pod_address a on a.address = l.address
    and l.last_ms >= a.lines_from_ms
    and l.first_ms < a.lines_until_ms
  union
  select p.id
  from log l
  cross join pod_life p on p.namespace = l.namespace and p.name = l.pod
  where l.stored > 0
    and coalesce(l.container, 'istio-proxy') = 'istio-proxy'
    and coalesce(l.last_ms, p.lines_from_ms) >= p.lines_from_ms
    and coalesce(l.first_ms, p.first_ms) < p.lines_until_ms
  union
  select p.id
  from line l
  cross join pod_life p on p.namespace = l.namespace and p.name = l.pod
  where l.last_ms >= p.lines_from_ms
    and l.first_ms < p.lines_until_ms
)
select
  p.namespace,
  p.name,
  p.proxy,
  p.namespace || '/' || p.workload as workload,
  p.first_ms,
  p.until_ms,
  (
    select group_concat(address, ' ')
    from (select distinct address from pod_address a where a.life = p.id order by address)
  ) as addresses
from pod_life p
where p.proxy = 'ambient'
  or (p.proxy = 'sidecar' and p.id not in (select life from read));
