-- title: Pods that opted out of the mesh
-- about: Workloads of the imported topology whose traffic can leave without a sidecar's line because somebody chose it; told
--    once per workload and way, for no log shows what they send. Who has opted out is said as in Reports/opted-out.sql.
-- column: kind        text   what it is
-- column: severity    text   info, warning or critical
-- column: source      text   namespace/workload
-- column: host        text   how it stays out, with the annotation's value
-- column: port        number 0
-- column: flows       count  0: what goes that way is in no log
-- column: first_seen  first  start of the first pod, or the first snapshot with it
-- column: last_seen   last   the last snapshot with it
with pod as (
  select
    o.id,
    o.namespace,
    o.name,
    coalesce(o.workload, o.name) as workload,
    o.proxy,
    o.host_network,
    o.addresses,
    o.opt_outs,
    coalesce(o.started_ms, min(s.first_ms)) as first_ms,
    max(s.last_ms) as last_ms
  from topology_object o
  join topology_sighting s on s.object = o.id
  where o.kind = 'pod'
  group by o.id
),
-- Namespaces that belong to the mesh: by their labels, or because one of their pods has a sidecar.
meshed as (
  select namespace
  from pod
  where proxy in ('sidecar', 'ambient')
  union
  select name
  from topology_object
  where kind = 'namespace'
    and (json_extract(labels, '$."istio-injection"') = 'enabled'
      or json_extract(labels, '$."istio.io/rev"') is not null
      or json_extract(labels, '$."istio.io/dataplane-mode"') = 'ambient')
),
way as (
  select
    p.id,
    p.namespace,
    p.namespace || '/' || p.workload as workload,
    p.name,
    p.host_network,
    p.addresses,
    p.first_ms,
    p.last_ms,
    e.value as how
  from pod p
  join json_each(p.opt_outs) e
  where e.value <> 'no-proxy'
    -- A pod without a proxy for a reason is listed under its reason.
    or json_array_length(p.opt_outs) = 1
),
-- Severity warning where somebody chose it inside the mesh.
opted_out as materialized (
  select
    w.workload,
    w.name,
    w.host_network,
    w.addresses,
    w.first_ms,
    w.last_ms,
    w.how,
    case
      when substr(w.how, 1, instr(w.how || '=', '=') - 1) in ('no-proxy', 'host-network')
        and w.namespace not in (select namespace from meshed) then 'info'
      when w.how = 'host-network' then 'info'
      else 'warning'
    end as severity
  from way w
)
select
  'opted-out' as kind,
  severity,
  workload as source,
  how as host,
  0 as port,
  0 as flows,
  min(first_ms) as first_seen,
  max(last_ms) as last_seen
from opted_out
where severity <> 'info'
group by severity, workload, how
order by workload, how;
