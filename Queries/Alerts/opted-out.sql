-- title: Pods that opted out of the mesh
-- about: Workloads of the imported topology whose traffic can leave without a sidecar's line because somebody chose it; told
--    once per workload and way, for no log shows what they send. Who has opted out, the views opted_out_pod and
--    telemetry_opt_out say.
-- column: kind        text   what it is
-- column: severity    text   info, warning or critical
-- column: source      text   namespace/workload; namespace/* or * where a Telemetry keeps lines out of the logs of many
-- column: host        text   how it stays out, with the annotation's value or the Telemetry's name
-- column: port        number 0
-- column: flows       count  0: what goes that way is in no log
-- column: first_seen  first  start of the first pod, or the first snapshot with it
-- column: last_seen   last   the last snapshot with it
select
  'opted-out' as kind,
  severity,
  workload as source,
  how as host,
  0 as port,
  0 as flows,
  min(first_ms) as first_seen,
  max(last_ms) as last_seen
from (
  select severity, workload, how, first_ms, last_ms
  from opted_out_pod
  union all
  select severity, workload, how, first_ms, last_ms
  from telemetry_opt_out
)
where severity <> 'info'
group by severity, workload, how
order by workload, how;
