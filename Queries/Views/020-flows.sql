-- The contract: `gatewatch flows --format ndjson` prints exactly these columns in this order.
create view flows as
select
  j.id,
  -- Whole seconds are rounded down, also before 1970.
  strftime('%Y-%m-%dT%H:%M:%S', (j.started_at_ms - ((j.started_at_ms % 1000) + 1000) % 1000) / 1000, 'unixepoch')
    || printf('.%03dZ', ((j.started_at_ms % 1000) + 1000) % 1000) as started_at,
  j.started_at_ms,
  j.duration_ms,
  s.proxy,
  j.role,
  l.path as log,
  j.line,
  s.client_ip as source_ip,
  nullif(j.source_port, 0) as source_port,
  coalesce(s.name, s.pod) as source,
  d.host,
  nullif(d.port, 0) as port,
  -- Where the bytes went; when none were sent, what a sidecar's workload dialled (a gateway is dialled itself).
  coalesce(d.upstream_ip, case when j.role = 'sidecar' then d.dialled_ip end) as destination_ip,
  o.protocol,
  o.method,
  t.path as url_path,
  o.status,
  j.path,
  j.outcome,
  j.reason,
  j.bypass,
  j.bytes_sent,
  j.bytes_received,
  d.cluster as upstream_cluster,
  d.route_name,
  o.flags as response_flags,
  case when j.request_hash is null then null else printf('%016x', j.request_hash) end as request_id,
  case when j.journey is not null then lower(hex(j.journey)) end as journey,
  -- The line's own warnings, bit by bit as `Warnings.names` lists them, then those of the verdict.
  nullif(
    substr(
      case when o.warnings & 1 then ',ambiguous-columns' else '' end
        || case when o.warnings & 2 then ',truncated' else '' end
        || case when o.warnings & 4 then ',sni-invalid' else '' end
        || case when o.warnings & 8 then ',host-mismatch' else '' end
        || case when o.warnings & 16 then ',xff-source' else '' end
        || case when o.warnings & 32 then ',host-is-address' else '' end
        || case when o.warnings & 64 then ',time-assumed' else '' end
        || case when o.warnings & 128 then ',number-invalid' else '' end
        || case when o.warnings & 256 then ',zone-assumed' else '' end
        || case when o.warnings & 512 then ',denied-late' else '' end
        || case when o.warnings & 1024 then ',day-assumed' else '' end
        || coalesce(',' || j.verdict_warnings, ''),
      2),
    '') as warnings
from judged_flow j
join named_source s on s.id = j.source_id
join destination d on d.id = j.destination_id
left join log l on l.id = j.log_id
left join outcome o on o.id = j.outcome_id
left join path_template t on t.id = j.path_template_id;
