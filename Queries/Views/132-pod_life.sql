-- Pods of the imported topology, and for how long they lived: from their start, or the first look that shows them, to their
-- end, or the first look at pods that does not show them any more; `until_ms` is NULL where there was none. `alive_first_ms` and
-- `alive_last_ms` are the first and the last look that shows them before their end.
create view pod_life as
select
  p.namespace,
  p.name,
  p.proxy,
  p.workload,
  p.first_ms,
  nullif(
    min(
      coalesce(p.ended_ms, 9223372036854775807),
      -- Written as the index has it, without an affinity: there may be a look every hour, and thousands of pods.
      coalesce(
        (
          select min(m.at_ms)
          from topology_moment m
          where m.kind = 'pod'
            and coalesce(m.namespace, '') = ''
            and (m.namespace is null) = 1
            and m.at_ms > p.seen_ms
        ),
        9223372036854775807
      ),
      coalesce(
        (
          select min(m.at_ms)
          from topology_moment m
          where m.kind = 'pod'
            and coalesce(m.namespace, '') = +p.namespace
            and (m.namespace is null) = 0
            and m.at_ms > p.seen_ms
        ),
        9223372036854775807
      )
    ),
    9223372036854775807
  ) as until_ms,
  p.alive_first_ms,
  p.alive_last_ms
from (
  select
    o.namespace,
    o.name,
    o.proxy,
    max(coalesce(o.workload, o.name)) as workload,
    min(min(coalesce(o.started_ms, s.first_ms), s.first_ms)) as first_ms,
    max(s.last_ms) as seen_ms,
    max(o.ended_ms) as ended_ms,
    min(case when o.ended_ms is null then s.first_ms end) as alive_first_ms,
    max(case when o.ended_ms is null then s.last_ms end) as alive_last_ms
  from topology_object o
  join topology_sighting s on s.object = o.id
  where o.kind = 'pod'
  group by o.namespace, o.name, o.proxy
) p;
