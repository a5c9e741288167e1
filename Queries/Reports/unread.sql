-- title: Pods of the mesh of which nothing was read
-- about: Workloads that the imported topology shows to have a sidecar, and of whose pods no line was read; and pods of which lines
--    were read, but none of a time, at an end or between two logs, in which there is evidence that they lived: a look at the
--    cluster that shows them (topology), the log of a gateway or a proxy whose client they are (client), a log that ends within
--    a line (cut-line), or that was cut or replaced after it had been read (cut-log). Their logs were not collected, or the pods
--    were silent: the logs at hand cannot say which, and what was sent past the gateway stands in none of them. That a log has no
--    more lines is no evidence: pods end. So are pods that ztunnel carries (ambient): what they send past waypoints and gateways
--    stands in ztunnel's log alone, which is not understood. Without limits, pods of the time of all logs; less than a quarter of
--    an hour is left out.
--    Needs: gatewatch topology import, for what the cluster shows.
-- rows: all
-- parameter: since_ms  first millisecond to include (Unix time)
-- parameter: until_ms  first millisecond no longer included
-- column: workload    text   namespace/workload; else the address, else the log
-- column: pods        count  of which nothing was read
-- column: names       text   of these pods, the first ten
-- column: addresses   text   theirs
-- column: first_seen  first  start of the first of them, or the first snapshot with it
-- column: gone_by     last   the end of the last of them, or the first snapshot without any; none where the latest still has one
-- column: silent_from time   where lines were read: since when there is none
-- column: silent_to   time   and until when the evidence reaches, or the next line comes
-- column: evidence    text   topology, client, cut-line, cut-log
-- column: log         text   of these lines
-- column: proxy       text   sidecar; ztunnel (ambient), whose log is not understood
with asked as materialized (
  select
    max(min(first_ms), coalesce(:since_ms, min(first_ms))) as from_ms,
    min(max(last_ms), coalesce(:until_ms, max(last_ms))) as until_ms
  from log
),
pod as materialized (
  select
    namespace,
    name,
    case proxy when 'ambient' then 'ztunnel' else proxy end as proxy,
    workload,
    first_ms,
    until_ms,
    addresses
  from unread_pod
  where (until_ms is null or until_ms > coalesce(:since_ms, (select min(first_ms) from log)))
    and first_ms < coalesce(:until_ms, (select max(last_ms) + 1 from log))
),
first_ten as (
  select workload, proxy, group_concat(name, ' ') as names, group_concat(addresses, ' ') as addresses
  from (
    select workload, proxy, name, addresses, row_number() over (partition by workload, proxy order by name) as place
    from pod
  )
  where place <= 10
  group by workload, proxy
),
workload as (
  select
    p.workload,
    p.proxy,
    count(*) as pods,
    f.names,
    f.addresses,
    min(p.first_ms) as first_seen,
    case when count(p.until_ms) = count(*) then max(p.until_ms) end as gone_by
  from pod p
  join first_ten f on f.workload = p.workload and f.proxy = p.proxy
  group by p.workload, p.proxy
),
pod_workload as materialized (
  select namespace, name, max(workload) as workload
  from pod_life
  where proxy = 'sidecar'
  group by namespace, name
),
silent as (
  select
    coalesce(coalesce(s.namespace || '/', '') || coalesce(p.workload, s.name), s.address, l.path) as workload,
    s.name,
    s.address,
    s.from_ms,
    s.until_ms,
    s.evidence,
    l.path as log
  from silent_sidecar s
  join asked a
  join log l on l.id = s.log
  left join pod_workload p on p.namespace = s.namespace and p.name = s.name
  where min(coalesce(s.until_ms, a.until_ms), a.until_ms) - max(s.from_ms, a.from_ms) > 900000
    or (s.from_ms < a.from_ms and coalesce(s.until_ms, a.until_ms + 1) > a.until_ms)
)
select workload, pods, names, addresses, first_seen, gone_by, silent_from, silent_to, evidence, log, proxy
from (
  select
    workload, pods, names, addresses, first_seen, gone_by,
    null as silent_from, null as silent_to, null as evidence, null as log, proxy
  from workload
  union all
  select workload, 1, name, address, null, null, from_ms, until_ms, evidence, log, 'sidecar'
  from silent
)
order by evidence is not null, pods desc, workload, proxy, names, silent_from, evidence;
