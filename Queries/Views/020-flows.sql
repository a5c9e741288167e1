-- The contract: `gatewatch flows --format ndjson` prints exactly these columns in this order.
create view flows as
select
  j.id,
  strftime('%Y-%m-%dT%H:%M:%S', j.started_at_ms / 1000, 'unixepoch')
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
  coalesce(d.upstream_ip, d.dialled_ip) as destination_ip,
  o.protocol,
  o.method,
  o.status,
  t.path as url_path,
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
  null as journey,
  -- TODO by the store's owner: comma list of the line's warnings (bits of o.warnings) and j.verdict_warnings
  j.verdict_warnings as warnings
from judged_flow j
join source s on s.id = j.source_id
join log l on l.id = j.log_id
join destination d on d.id = j.destination_id
join outcome o on o.id = j.outcome_id
left join path_template t on t.id = j.path_template_id;
