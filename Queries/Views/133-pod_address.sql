-- Who had which address when, among the pods of the imported topology, as verdicts have it: from the first look that shows the
-- pod there, or from the pod's start where no look shows it anywhere before, to the first of the pod's end, the look that shows it
-- elsewhere, and the next pod with the address. (A pod gets another address without another start when its node was started anew.)
-- `life_ms` is `first_ms` in `pod_life`. Lines that show the address are the pod's from `lines_from_ms` until `lines_until_ms`:
-- clocks may differ by a minute, but not into the time of the pod before or after.
create view pod_address as
with seen as materialized (
  select
    o.namespace,
    o.name,
    o.proxy,
    o.started_ms,
    a.value as address,
    min(s.first_ms) as first_ms,
    max(s.last_ms) as last_ms
  from topology_object o
  join topology_sighting s on s.object = o.id
  join json_each(o.addresses) a
  where o.kind = 'pod'
    and o.host_network = 0
  group by o.namespace, o.name, o.proxy, o.started_ms, a.value
),
-- Grouped by what makes each one: of a view with windows alone, SQLite expects a row or two, and goes through all for each.
life as materialized (
  select namespace, name, proxy, started_ms, first_ms, max(coalesce(until_ms, 9223372036854775807)) as until_ms
  from pod_life
  group by namespace, name, proxy, started_ms, first_ms
),
elsewhere as materialized (
  select a.namespace, a.name, a.proxy, a.started_ms, a.address, min(b.first_ms) as first_ms
  from seen a
  cross join seen b on b.namespace = a.namespace and b.name = a.name and b.started_ms is a.started_ms
  where b.first_ms > a.last_ms
  group by a.namespace, a.name, a.proxy, a.started_ms, a.address
),
-- Joined in the order that finds each by a key.
held as materialized (
  select
    a.namespace,
    a.name,
    a.proxy,
    a.started_ms,
    a.address,
    l.first_ms as life_ms,
    case
      when a.first_ms = min(a.first_ms) over (partition by a.namespace, a.name, a.started_ms) then l.first_ms
      else a.first_ms
    end as from_ms,
    min(l.until_ms, coalesce(e.first_ms, l.until_ms)) as until_ms
  from seen a
  cross join life l on l.namespace = a.namespace and l.name = a.name and l.proxy = a.proxy and l.started_ms is a.started_ms
  left join elsewhere e on e.namespace = a.namespace and e.name = a.name and e.proxy = a.proxy
    and e.started_ms is a.started_ms and e.address = a.address
),
succession as (
  select
    h.*,
    coalesce(
      min(h.from_ms) over (
        partition by h.address order by h.from_ms groups between 1 following and unbounded following
      ),
      9223372036854775807
    ) as next_ms
  from held h
)
select
  s.namespace,
  s.name,
  s.proxy,
  s.started_ms,
  s.address,
  s.life_ms,
  s.from_ms,
  nullif(min(s.until_ms, s.next_ms), 9223372036854775807) as until_ms,
  max(
    s.from_ms - 60000,
    coalesce(
      max(min(s.until_ms, s.next_ms)) over (
        partition by s.address order by s.from_ms groups between unbounded preceding and 1 preceding
      ),
      s.from_ms - 60000
    )
  ) as lines_from_ms,
  min(min(s.until_ms, 9223372036854715807) + 60000, s.next_ms) as lines_until_ms
from succession s;
