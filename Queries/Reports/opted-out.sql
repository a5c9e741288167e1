-- title: Pods whose traffic can leave without a sidecar's line
-- about: Workloads that the imported topology shows to stay out of the mesh's interception, wholly or for some
--    addresses: what they send that way stands in no log of a sidecar. So do those of which a Telemetry keeps lines out of the
--    log. Where NetworkPolicies were imported, also namespaces of the mesh in which none of them keeps every pod from the
--    public addresses: there a sidecar that is passed is passed for good.
--    Needs: gatewatch topology import.
-- rows: all
-- column: severity   text   warning where somebody chose it inside the mesh, else info
-- column: workload   text   namespace/workload; namespace/* for its pods, * for those of the whole mesh
-- column: how        text   what keeps traffic away from the sidecar, with the annotation's value, or lines out of its log
-- column: pods       count  pods of the workload seen like this
-- column: addresses  text   of its pods, the first ten
-- column: flows      count  flows of any kind that logs show from these addresses
-- column: first_seen first  start of the first pod, or the first snapshot with it
-- column: last_seen  last   the last snapshot with it
-- column: meaning    text   what it means
with opted_out as materialized (
  select workload, name, host_network, addresses, first_ms, last_ms, how, severity
  from opted_out_pod
),
-- A node's address is not its pods' alone.
flows_of as (
  select w.workload, w.how, max(w.severity) as severity, count(distinct w.name) as pods, min(w.first_ms) as first_ms,
    max(w.last_ms) as last_ms
  from opted_out w
  group by w.workload, w.how
),
address_of as (
  select distinct w.workload, w.how, a.value as address
  from opted_out w
  join json_each(w.addresses) a
  where w.host_network = 0
),
source_flows as materialized (
  select f.source, count(*) as flows
  from flow f
  group by f.source
),
seen_from as (
  select a.workload, a.how, sum(c.flows) as flows
  from address_of a
  join source s on s.client_ip = a.address and s.client_forwarded = 0
  join source_flows c on c.source = s.id
  group by a.workload, a.how
),
address_list as (
  select workload, how, group_concat(address, ' ') as addresses
  from (
    select workload, how, address, row_number() over (partition by workload, how order by address) as place
    from address_of
  )
  where place <= 10
  group by workload, how
),
-- NetworkPolicies that are about egress, each with whether it is for all pods of its namespace and whether a rule of it lets them reach
-- the public addresses.
egress_policy as (
  select
    o.namespace,
    instr(o.traits, '"selects-all"') > 0 as is_for_all,
    instr(o.traits, '"allows-all-egress"') > 0 as is_open,
    max(t.last_ms) as last_ms
  from topology_object o
  join topology_sighting t on t.object = o.id
  where o.kind = 'network-policy'
    and instr(o.traits, '"limits-egress"') > 0
  group by o.id
),
-- Those of them that were there when somebody looked last. A list of several kinds does not tell which it would hold, if there were
-- any: one that shows the pods of the namespace and each other kind that the list with the policy has, and no policy at all, is taken
-- for a look that found none.
policy as (
  select p.namespace, p.is_for_all, p.is_open
  from egress_policy p
  where p.last_ms >= coalesce(
      (
        select max(m.at_ms)
        from topology_moment m
        where m.kind = 'network-policy'
          and (m.namespace is null or m.namespace = p.namespace)
      ), 0)
    and not exists (
      select 1
      from topology_snapshot has
      cross join topology_moment m on m.kind = 'pod'
        and m.at_ms > p.last_ms
        and (m.namespace is null or m.namespace = p.namespace)
      cross join topology_snapshot later on later.at_ms = m.at_ms
      where has.at_ms = p.last_ms
        and instr(has.kinds, '"NetworkPolicy"') > 0
        and instr(has.kinds, '"Pod"') > 0
        and instr(later.kinds, '"NetworkPolicy"') = 0
        and not exists (
          select 1
          from json_each(has.kinds) k
          -- Before Gateways were counted by their group they had that name.
          where k.key not in ('NetworkPolicy', 'Gateway')
            and instr(later.kinds, '"' || k.key || '"') = 0
        )
    )
),
-- What they do together: a pod may send whatever one of its policies allows.
guard as (
  select
    namespace,
    max(is_for_all = 1 and is_open = 1) as opens_all,
    max(is_for_all = 0 and is_open = 1) as opens_some,
    max(is_for_all = 1 and is_open = 0) as limits_all,
    max(is_open = 0) as limits_some
  from policy
  group by namespace
),
unguarded as (
  select
    m.namespace as name,
    coalesce(g.opens_all = 0 and g.limits_some = 1, 0) as some,
    m.first_ms,
    m.last_ms
  from (
    select o.namespace, min(t.first_ms) as first_ms, max(t.last_ms) as last_ms
    from topology_object o
    join topology_sighting t on t.object = o.id
    where o.kind = 'pod'
      and o.proxy in ('sidecar', 'ambient')
    group by o.namespace
  ) m
  left join guard g on g.namespace = m.namespace
  where coalesce(g.limits_all = 1 and g.opens_all = 0 and g.opens_some = 0, 0) = 0
    and exists (select 1 from topology_object where kind = 'network-policy')
)
select
  w.severity as severity,
  w.workload as workload,
  w.how as how,
  w.pods,
  l.addresses,
  coalesce(c.flows, 0) as flows,
  w.first_ms as first_seen,
  w.last_ms as last_seen,
  case substr(w.how, 1, instr(w.how || '=', '=') - 1)
    when 'inject-false' then 'sidecar.istio.io/inject "false": the pod has no sidecar, nothing it sends is logged there'
    when 'host-network' then 'hostNetwork: the pod uses its node''s network, where no sidecar intercepts'
    when 'no-proxy' then 'no istio-proxy container, though nobody asked for that: not injected, or started before it was'
    when 'proxy-by-name-only' then 'a container is named istio-proxy, and neither its arguments nor anything of the injector''s show a sidecar'
    when 'dataplane-mode-none' then 'istio.io/dataplane-mode none: the pod stays out of the ambient mesh'
    when 'exclude-outbound-ip-ranges' then 'traffic to these ranges goes straight out, past the sidecar'
    when 'exclude-outbound-ports' then 'traffic to these ports goes straight out, past the sidecar'
    when 'exclude-interfaces' then 'traffic of these network interfaces goes past the sidecar'
    when 'include-outbound-ip-ranges' then 'only traffic to these ranges passes the sidecar, all other goes straight out'
    when 'interception-mode-none' then 'interceptionMode NONE: only what the workload itself sends to its sidecar passes it'
    when 'proxy-uid' then 'a container runs as the sidecar''s user: what it sends goes past the sidecar'
    when 'proxy-gid' then 'a container runs in the sidecar''s group: what it sends goes past the sidecar'
    else ''
  end as meaning
from flows_of w
left join seen_from c on c.workload = w.workload and c.how = w.how
left join address_list l on l.workload = w.workload and l.how = w.how
union all
select
  'info',
  n.name || '/*',
  case when n.some > 0 then 'egress-policy-for-some' else 'no-egress-policy' end,
  null,
  null,
  0,
  n.first_ms,
  n.last_ms,
  case
    when n.some > 0 then 'NetworkPolicies keep some pods from public addresses, not all: for the others nothing but the sidecar keeps traffic in'
    else 'no NetworkPolicy of the newest snapshot keeps pods from public addresses: nothing but the sidecar keeps traffic in'
  end
from unguarded n
union all
select
  t.severity,
  t.workload,
  t.how,
  null,
  null,
  0,
  t.first_ms,
  t.last_ms,
  case substr(t.how, 1, instr(t.how, '=') - 1)
    when 'telemetry-disabled' then 'this Telemetry switches the log of what pods send off'
    when 'telemetry-filter' then 'this Telemetry filters the log of what pods send: what its expression leaves out is in no log'
    else 'this Telemetry has pods log what they receive, and none has them log what they send'
  end || coalesce(', for pods with ' || t.pods, '')
from telemetry_opt_out t
order by severity desc, flows desc, workload, how;
