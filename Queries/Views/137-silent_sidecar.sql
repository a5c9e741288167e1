-- Sidecars whose log is silent for a time in which there is evidence that their pod lived, one row per pod, side and evidence. That a
-- log has no more lines is none: the pod may have ended. `evidence` is
--   topology    a look at the cluster shows the pod with a sidecar, before its end
--   client      the log of a gateway or a proxy (`witness`) shows its address as a client
--   cut-line    the log ends within a line, which was still being written
--   cut-log     the log was cut, or replaced by another file, after it had been read
-- `side` is where the silence lies: before the first line of the pod, after the last, or between two of its logs. `from_ms` and
-- `until_ms` are its ends as far as the evidence goes; `until_ms` is NULL where it does not say for how long the pod lived. `log`
-- holds the line at the silence's other end. What is shorter than a quarter of an hour is left out: clocks differ, and pods pause.
create view silent_sidecar as
-- Where there can be no evidence at all, nobody has to know who wrote when: there may be hundreds of logs with hundreds of pods each.
with evidence as materialized (
  select is_possible from silence_evidence
),
writer as materialized (
  select l.id, l.path, l.generation, l.namespace, l.pod, l.first_ms, l.last_ms, l.tallied, l.pending
  from log l
  left join log_sign g on g.log = l.id
  where (select is_possible from evidence)
    and l.stored > 0
    and l.first_ms is not null
    and coalesce(l.container, 'istio-proxy') = 'istio-proxy'
    and (
      l.declared_role in ('sidecar', 'inbound', 'unknown')
      or (l.declared_role is null and (
        g.roles is null
        or instr(',' || g.roles || ',', ',sidecar,') > 0
        or instr(',' || g.roles || ',', ',inbound,') > 0
        or instr(',' || g.roles || ',', ',unknown,') > 0
      ))
    )
),
-- Addresses of sidecars, by the logs that they write to. Some of a gateway's lines look like a sidecar's.
own as materialized (
  select distinct log, proxy_ip as address
  from source
  where (select is_possible from evidence)
    and proxy = 'envoy'
    and shape in ('outbound', 'outbound-forwarded', 'inbound')
    and proxy_ip not in (
      select g.proxy_ip
      from source g
      where g.proxy_ip is not null
        and g.shape in ('gateway', 'gateway-to-loopback')
    )
),
-- What sidecars wrote. A line about what was never sent shows its client alone: a pod whose sidecar writes to the same log. Where
-- joining has noted no ends, anything in that log may be of this sidecar.
written as materialized (
  select
    o.address,
    coalesce(s.namespace, w.namespace) as namespace,
    coalesce(s.pod, w.pod) as pod,
    s.log,
    min(case when w.tallied > 0 then w.first_ms else coalesce(s.first_end_ms, w.first_ms) end) as first_ms,
    max(case when w.tallied > 0 then w.last_ms else coalesce(s.last_end_ms, w.last_ms) end) as last_ms
  from source s
  cross join writer w on w.id = s.log
  left join own o on o.address = case
      when s.shape <> 'not-sent' or s.proxy_ip is not null then s.proxy_ip
      when s.client_forwarded = 0 then s.client_ip
    end
    and o.log = s.log
  where s.proxy = 'envoy'
    and s.shape not in ('gateway', 'gateway-to-loopback', 'waypoint')
    and s.received_as is null
    and coalesce(s.container, 'istio-proxy') = 'istio-proxy'
  group by 1, 2, 3, 4
),
-- Who had which address when.
holder as materialized (
  select
    a.address,
    p.id as life,
    p.namespace,
    p.name,
    p.proxy,
    p.alive_first_ms,
    p.alive_last_ms,
    a.from_ms as first_ms,
    coalesce(a.until_ms, 9223372036854775807) as until_ms,
    a.lines_from_ms,
    a.lines_until_ms
  from pod_address a
  cross join pod_life p on p.id = a.life
),
line_of_pod as materialized (
  select h.namespace, h.name, h.life, h.alive_first_ms, h.alive_last_ms, w.log, w.first_ms, w.last_ms
  from written w
  cross join holder h on h.address = w.address
  where h.proxy = 'sidecar'
    and w.last_ms >= h.lines_from_ms
    and w.first_ms < h.lines_until_ms
  union all
  select p.namespace, p.name, p.id, p.alive_first_ms, p.alive_last_ms, w.log, w.first_ms, w.last_ms
  from written w
  cross join pod_life p on p.namespace = w.namespace and p.name = w.pod
  where p.proxy = 'sidecar'
    and w.last_ms >= p.lines_from_ms
    and w.first_ms < p.lines_until_ms
),
-- With a single max or min, SQLite takes the other columns from its row.
end_of_pod as materialized (
  select namespace, name, alive_last_ms, log, max(last_ms) as last_ms
  from line_of_pod
  group by namespace, name, life
),
beginning_of_pod as materialized (
  select namespace, name, alive_first_ms, log, min(first_ms) as first_ms
  from line_of_pod
  group by namespace, name, life
),
-- Between what was written to one log and to the next. A pod with lines before and after has lived all that time; that it was not
-- idle nobody knows, and what is silent within one log is a gap of that log.
hole_of_pod as materialized (
  select namespace, name, alive_first_ms, alive_last_ms, log, reached_ms as from_ms, first_ms as until_ms
  from (
    select
      *,
      max(last_ms) over (
        partition by namespace, name, life order by first_ms, log rows between unbounded preceding and 1 preceding
      ) as reached_ms
    from line_of_pod
  )
  where first_ms > reached_ms + 900000
),
hole_of_address as materialized (
  select address, log, reached_ms as from_ms, first_ms as until_ms
  from (
    select
      *,
      max(last_ms) over (
        partition by address order by first_ms, log rows between unbounded preceding and 1 preceding
      ) as reached_ms
    from written
    where address is not null
  )
  where first_ms > reached_ms + 900000
),
end_of_address as materialized (
  select address, log, max(last_ms) as last_ms
  from written
  where address is not null
  group by address
),
end_of_name as materialized (
  select namespace, pod, max(last_ms) as last_ms
  from written
  where namespace is not null
    and pod is not null
  group by namespace, pod
),
beginning_of_address as materialized (
  select address, log, min(first_ms) as first_ms
  from written
  where address is not null
  group by address
),
client as materialized (
  select s.client_ip as address, s.log, s.first_end_ms as first_ms, s.last_end_ms as last_ms
  from source s
  left join log l on l.id = s.log
  left join log_sign g on g.log = s.log
  where s.client_forwarded = 0
    and s.client_ip is not null
    and s.first_end_ms is not null
    and (
      s.proxy <> 'envoy'
      or s.shape in ('gateway', 'gateway-to-loopback')
      -- What a gateway refused, in a log that is a gateway's alone.
      or (s.shape = 'not-sent' and coalesce(l.declared_role, g.roles) = 'gateway')
    )
),
latest_client as materialized (
  select address, log, max(last_ms) as last_ms
  from client
  group by address
),
earliest_client as materialized (
  select address, log, min(first_ms) as first_ms
  from client
  group by address
),
silent as materialized (
  select
    'after' as side,
    'topology' as evidence,
    namespace,
    name,
    null as address,
    log,
    null as witness,
    last_ms as from_ms,
    alive_last_ms as until_ms
  from end_of_pod
  where alive_last_ms > last_ms + 900000
  union all
  select 'before', 'topology', namespace, name, null, log, null, alive_first_ms, first_ms
  from beginning_of_pod
  where alive_first_ms < first_ms - 900000
  union all
  select 'after', 'client', null, null, o.address, o.log, c.log, o.last_ms, c.last_ms
  from end_of_address o
  join latest_client c on c.address = o.address
  where c.last_ms > o.last_ms + 900000
    -- Another pod has had the address since: it is named by its own lines, or as one of which nothing was read.
    and not exists (
      select 1
      from holder h
      where h.address = o.address
        and h.first_ms - 60000 > o.last_ms
        and h.first_ms - 60000 <= c.last_ms
    )
  union all
  select 'before', 'client', null, null, o.address, o.log, c.log, c.first_ms, o.first_ms
  from beginning_of_address o
  join earliest_client c on c.address = o.address
  where c.first_ms < o.first_ms - 900000
    and not exists (
      select 1
      from holder h
      where h.address = o.address
        and h.until_ms < o.first_ms - 60000
        and h.until_ms >= c.first_ms - 60000
    )
  union all
  select 'between', 'topology', namespace, name, null, log, null, from_ms, until_ms
  from hole_of_pod
  where alive_first_ms < until_ms
    and alive_last_ms > from_ms
  union all
  -- Whom the witness shows both before and after may have been idle in between.
  select 'between', 'client', null, null, o.address, o.log, min(c.log), o.from_ms, o.until_ms
  from hole_of_address o
  join client c on c.address = o.address
    and (
      (c.first_ms > o.from_ms + 60000 and c.first_ms < o.until_ms - 60000)
      or (c.last_ms > o.from_ms + 60000 and c.last_ms < o.until_ms - 60000)
    )
  where not exists (
    select 1
    from holder h
    where h.address = o.address
      and h.first_ms - 60000 > o.from_ms
      and h.first_ms - 60000 <= o.until_ms
  )
  group by o.address, o.log, o.from_ms, o.until_ms
  union all
  select 'after', 'cut-line', w.namespace, w.pod, null, w.id, null, w.last_ms, null
  from writer w
  where w.pending > 0
    -- What is later than its last line stands in another log.
    and not exists (
      select 1
      from written o
      join end_of_address e on e.address = o.address
      where o.log = w.id
        and e.last_ms > w.last_ms
    )
    and not exists (
      select 1
      from written o
      join end_of_name e on e.namespace = o.namespace and e.pod = o.pod
      where o.log = w.id
        and e.last_ms > w.last_ms
    )
  union all
  select 'after', 'cut-log', l.namespace, l.pod, null, w.id, null, max(w.last_ms), l.first_ms
  from log l
  join writer w on w.path = l.path and w.generation < l.generation
  where l.note is not null
    -- A rotated copy holds it, or another log of the same sidecar does.
    and not exists (
      select 1
      from written o
      cross join written r on r.address = o.address
      where o.log = w.id
        and r.log not in (w.id, l.id)
        and r.last_ms > w.last_ms
        and r.first_ms <= coalesce(l.first_ms, r.first_ms)
    )
    and not exists (
      select 1
      from written o
      cross join written r on r.namespace = o.namespace and r.pod = o.pod
      where o.log = w.id
        and r.log not in (w.id, l.id)
        and r.last_ms > w.last_ms
        and r.first_ms <= coalesce(l.first_ms, r.first_ms)
    )
  group by l.id
  having l.first_ms is null or l.first_ms > max(w.last_ms) + 900000
)
select
  s.side,
  s.evidence,
  coalesce(s.namespace, p.namespace, w.namespace) as namespace,
  coalesce(s.name, p.name, w.pod) as name,
  s.address,
  s.log,
  s.witness,
  s.from_ms,
  s.until_ms
from silent s
-- The cluster's name for an address, as its log's other lines have it.
left join (
  select w.address, w.log, max(w.namespace) as namespace, max(w.pod) as pod
  from written w
  group by w.address, w.log
) w on w.address = s.address and w.log = s.log
left join holder p on p.address = s.address
  and p.proxy = 'sidecar'
  and p.first_ms - 60000 <= case when s.side = 'after' then s.until_ms else s.from_ms end
  and p.until_ms >= case when s.side = 'after' then s.from_ms else s.until_ms end;
