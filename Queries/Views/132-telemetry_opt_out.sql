-- Telemetries of Istio, of the imported topology, that keep lines of what pods send out of the log of their sidecar, one row for each
-- way; `how` is
--   telemetry-disabled=NAMESPACE/NAME     it switches the log off
--   telemetry-filter=NAMESPACE/NAME       it lets the lines pass of which an expression is true, which nothing here understands
--   telemetry-server-only=NAMESPACE/NAME  it logs what pods receive, and none for all pods of the namespace logs what they send
-- `workload` is `NAMESPACE/*`, or `*` for one of the root namespace, which is for all: `istio-system`, or where the mesh's
-- configuration lies. Of one with a selector, `pods` are the labels of the pods that it is for, as `app=web`. It is one of gateways, and
-- left out, where it names them as targets, or no pod that it could be for has a sidecar. It holds from its creation (the last look at
-- another state of it) until the first look at Telemetries without it, NULL where there is none.
create view telemetry_opt_out as
with seen as (
  select
    o.id,
    o.namespace,
    o.name,
    o.traits,
    o.labels,
    o.labels <> '{}' as is_selective,
    o.namespace = 'istio-system'
      or o.namespace in (select namespace from topology_object where kind = 'mesh-config') as is_root,
    min(coalesce(o.started_ms, s.first_ms), min(s.first_ms)) as first_ms,
    min(s.first_ms) as seen_ms,
    max(s.last_ms) as last_ms
  from topology_object o
  join topology_sighting s on s.object = o.id
  where o.kind = 'telemetry'
    and instr(o.traits, '"has-target"') = 0
  group by o.id
)
select distinct
  case when t.is_root and not t.is_selective then '*' else t.namespace || '/*' end as workload,
  case
    when e.value = 'outbound-off' then 'telemetry-disabled='
    when e.value = 'inbound-only' then 'telemetry-server-only='
    else 'telemetry-filter='
  end || t.namespace || '/' || t.name as how,
  (select group_concat(key || '=' || value, ',') from (select key, value from json_each(t.labels) order by key)) as pods,
  coalesce(
    (
      select max(b.last_ms)
      from seen b
      where b.namespace = t.namespace
        and b.name = t.name
        and b.last_ms < t.seen_ms
    ), t.first_ms) as first_ms,
  t.last_ms,
  (
    select min(m.at_ms)
    from topology_moment m
    where m.kind = 'telemetry'
      and (m.namespace is null or m.namespace = t.namespace)
      and m.at_ms > t.last_ms
  ) as until_ms,
  'warning' as severity
from seen t
join json_each(t.traits) e
where (
    e.value = 'outbound-off'
    or e.value glob 'outbound-filter=*'
    or (
      e.value = 'inbound-only'
      and not exists (
        select 1
        from seen b
        where instr(b.traits, '"outbound-on"') > 0
          and b.is_selective = 0
          and (b.is_root or b.namespace = t.namespace)
          and b.last_ms >= t.seen_ms
      )
    )
  )
  and (
    not exists (select 1 from topology_object where kind = 'pod')
    or exists (
      select 1
      from topology_object p
      where p.kind = 'pod'
        and p.proxy = 'sidecar'
        and ((t.is_root and not t.is_selective) or p.namespace = t.namespace)
    )
  );
