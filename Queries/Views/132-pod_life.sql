-- Pods of the imported topology, and for how long they lived: from their start, or the first look that shows them, to the first of
-- their end, the start of the next pod of their name, and the first look at pods that does not show them any more; `until_ms` is
-- NULL where there was none of these. Two pods of one name have different starts. A pod whose end the cluster does not tell lived
-- at most until the look that shows it over. One that never had an address sent nothing, and is none. `alive_first_ms` and
-- `alive_last_ms` are the first and the last look that shows them before their end. Lines that bear their name are theirs from
-- `lines_from_ms` until `lines_until_ms`: clocks may differ by a minute, but not into the life of another.
create view pod_life as
select
  p.namespace,
  p.name,
  p.proxy,
  p.started_ms,
  p.workload,
  p.first_ms,
  nullif(p.until_ms, 9223372036854775807) as until_ms,
  p.alive_first_ms,
  p.alive_last_ms,
  max(
    p.first_ms - 60000,
    coalesce(
      max(p.until_ms) over (
        partition by p.namespace, p.name order by p.first_ms groups between unbounded preceding and 1 preceding
      ),
      p.first_ms - 60000
    )
  ) as lines_from_ms,
  min(min(p.until_ms, 9223372036854715807) + 60000, p.next_ms) as lines_until_ms
from (
  select
    l.*,
    min(
      l.next_ms,
      coalesce(max(l.ended_ms, coalesce(l.alive_last_ms, l.ended_ms)), l.over_ms, 9223372036854775807),
      -- Written as the index has it, without an affinity: there may be a look every hour, and thousands of pods.
      coalesce(
        (
          select min(m.at_ms)
          from topology_moment m
          where m.kind = 'pod'
            and coalesce(m.namespace, '') = ''
            and (m.namespace is null) = 1
            and m.at_ms > l.seen_ms
        ),
        9223372036854775807
      ),
      coalesce(
        (
          select min(m.at_ms)
          from topology_moment m
          where m.kind = 'pod'
            and coalesce(m.namespace, '') = +l.namespace
            and (m.namespace is null) = 0
            and m.at_ms > l.seen_ms
        ),
        9223372036854775807
      )
    ) as until_ms
  from (
    select
      s.*,
      -- A name is free once its pod is gone.
      coalesce(
        min(s.first_ms) over (
          partition by s.namespace, s.name order by s.first_ms groups between 1 following and unbounded following
        ),
        9223372036854775807
      ) as next_ms
    from (
      select
        o.namespace,
        o.name,
        o.proxy,
        o.started_ms,
        max(coalesce(o.workload, o.name)) as workload,
        min(min(coalesce(o.started_ms, s.first_ms), s.first_ms)) as first_ms,
        max(s.last_ms) as seen_ms,
        max(o.ended_ms) as ended_ms,
        min(case when o.traits = '["end-unknown"]' then s.first_ms end) as over_ms,
        min(case when o.ended_ms is null and o.traits <> '["end-unknown"]' then s.first_ms end) as alive_first_ms,
        max(case when o.ended_ms is null and o.traits <> '["end-unknown"]' then s.last_ms end) as alive_last_ms
      from topology_object o
      join topology_sighting s on s.object = o.id
      where o.kind = 'pod'
      group by o.namespace, o.name, o.proxy, o.started_ms
      having max(o.addresses <> '[]' or o.ended_ms is not null or o.traits = '["end-unknown"]') = 1
    ) s
  ) l
) p;
