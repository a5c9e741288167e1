-- Pods that the imported topology shows to stay out of the mesh's interception, wholly or for some addresses, one row for each
-- way. `severity`: warning where somebody chose it inside the mesh, else info. `how` is the way, with the annotation's value;
-- addresses are a JSON list, and a host network's are its node's.
create view opted_out_pod as
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
-- Namespaces that belong to the mesh: by their labels, or because one of their pods has a sidecar. (Views may not use
-- json_extract: SQLite trusts no schema that it did not write itself.)
meshed as (
  select namespace
  from pod
  where proxy in ('sidecar', 'ambient')
  union
  select name
  from topology_object
  where kind = 'namespace'
    and (instr(labels, '"istio-injection":"enabled"') > 0
      or instr(labels, '"istio.io/rev":') > 0
      or instr(labels, '"istio.io/dataplane-mode":"ambient"') > 0)
)
select
  p.id as object,
  p.namespace,
  p.namespace || '/' || p.workload as workload,
  p.name,
  p.host_network,
  p.addresses,
  p.first_ms,
  p.last_ms,
  e.value as how,
  case
    when substr(e.value, 1, instr(e.value || '=', '=') - 1) in ('no-proxy', 'host-network', 'proxy-by-name-only')
      and p.namespace not in (select namespace from meshed) then 'info'
    else 'warning'
  end as severity
from pod p
join json_each(p.opt_outs) e
where e.value <> 'no-proxy'
  -- A pod without a proxy for a reason is listed under its reason.
  or p.opt_outs = '["no-proxy"]';
