-- Pods of the mesh, by the imported topology, of which nothing was read while they were there. What they sent past the gateway
-- stands in no log at hand. `proxy` is
--   sidecar   no line that their sidecar wrote, by its address, or by the pod's name where the log tells it; an empty file under a
--             pod's name proves nothing
--   ambient   ztunnel carries them, and nothing understands its log: whatever other logs hold. A waypoint's tells of the requests to
--             what it stands before, and of nothing else that its clients send
-- `until_ms` is the first look at pods that does not show them any more, NULL where there was none.
create view unread_pod as
with lived as materialized (
  select
    namespace,
    name,
    proxy,
    workload,
    first_ms,
    coalesce(until_ms, 9223372036854775807) as until_ms
  from pod_life
  where proxy in ('sidecar', 'ambient')
),
address as materialized (
  select distinct o.namespace, o.name, o.proxy, a.value as address
  from topology_object o
  join json_each(o.addresses) a
  where o.kind = 'pod'
    and o.proxy in ('sidecar', 'ambient')
    and o.host_network = 0
),
-- Who wrote lines, and until when, where joining has noted it. Clocks may differ by a minute. What another container than the
-- sidecar's prints may look like anybody's line, and is none.
line as materialized (
  select distinct
    s.proxy_ip as address,
    coalesce(s.first_end_ms, -9223372036854775807) as first_ms,
    coalesce(s.last_end_ms, 9223372036854775806) as last_ms
  from source s
  where s.proxy = 'envoy'
    and s.proxy_ip is not null
    and coalesce(s.container, 'istio-proxy') = 'istio-proxy'
),
read as materialized (
  select a.namespace, a.name
  from line l
  cross join address a on a.address = l.address and a.proxy = 'sidecar'
  cross join lived p on p.namespace = a.namespace and p.name = a.name and p.proxy = a.proxy
  where l.last_ms >= p.first_ms - 60000
    and l.first_ms - 60000 <= p.until_ms
  union
  select namespace, pod
  from log
  where pod is not null
    and stored > 0
    and coalesce(container, 'istio-proxy') = 'istio-proxy'
  union
  select namespace, pod
  from source
  where pod is not null
    and proxy = 'envoy'
    and coalesce(container, 'istio-proxy') = 'istio-proxy'
)
select
  p.namespace,
  p.name,
  p.proxy,
  p.namespace || '/' || p.workload as workload,
  p.first_ms,
  nullif(p.until_ms, 9223372036854775807) as until_ms,
  (
    select group_concat(address, ' ')
    from (
      select address
      from address a
      where a.namespace = p.namespace
        and a.name = p.name
        and a.proxy = p.proxy
      order by address
    )
  ) as addresses
from lived p
-- A set is looked up in; to join with it, it would be gone through for each pod.
where p.proxy = 'ambient'
  or p.namespace || '/' || p.name not in (select namespace || '/' || name from read where namespace is not null and name is not null);
