-- title: Pods with a sidecar of which nothing was read
-- about: Workloads that the imported topology shows to have a sidecar, and of whose pods no line was read. Their logs were not
--    collected, or the pods were silent: the logs at hand cannot say which, and what was sent past the gateway stands in none
--    of them. Without limits, pods of the time of all logs.
--    Needs: gatewatch topology import.
-- rows: all
-- parameter: since_ms  first millisecond to include (Unix time)
-- parameter: until_ms  first millisecond no longer included
-- column: workload   text   namespace/workload
-- column: pods       count  of which nothing was read
-- column: names      text   of these pods, the first ten
-- column: addresses  text   theirs
-- column: first_seen first  start of the first of them, or the first snapshot with it
-- column: gone_by    last   the first snapshot without any of them; none where the latest still has one
with pod as materialized (
  select namespace, name, workload, first_ms, until_ms, addresses
  from unread_sidecar
  where (until_ms is null or until_ms > coalesce(:since_ms, (select min(first_ms) from log)))
    and first_ms < coalesce(:until_ms, (select max(last_ms) + 1 from log))
),
first_ten as (
  select workload, group_concat(name, ' ') as names, group_concat(addresses, ' ') as addresses
  from (select workload, name, addresses, row_number() over (partition by workload order by name) as place from pod)
  where place <= 10
  group by workload
)
select
  p.workload,
  count(*) as pods,
  f.names,
  f.addresses,
  min(p.first_ms) as first_seen,
  case when count(p.until_ms) = count(*) then max(p.until_ms) end as gone_by
from pod p
join first_ten f on f.workload = p.workload
group by p.workload
order by count(*) desc, p.workload;
