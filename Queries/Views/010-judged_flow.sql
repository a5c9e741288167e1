-- Every flow with its verdict, by ids: the one place where facts and judgement meet. Reports start here and join
-- what they show; columns that nobody asks for cost nothing (SQLite drops left joins on keys that are not used).
create view judged_flow as
select
  f.id,
  f.started_at_ms,
  f.duration_ms,
  f.source as source_id,
  f.destination as destination_id,
  f.outcome as outcome_id,
  f.path_template as path_template_id,
  ((f.ports + 2147483648) >> 16) & 65535 as source_port,
  (f.ports + 2147483648) & 65535 as local_port,
  f.sent as bytes_sent,
  f.received as bytes_received,
  f.request_hash,
  f.line,
  s.log as log_id,
  coalesce(rv.role, 'unknown') as role,
  -- a blocked or unsent flow has path none, whatever way it would have taken
  case when ov.left_hop = 0 then 'none' else coalesce(rv.path, 'unknown') end as path,
  coalesce(ov.result, 'ok') as outcome,
  ov.reason as reason,
  case when ov.left_hop = 0 then null else rv.bypass end as bypass,
  case when ov.left_hop = 0 then null else rv.exception end as exception_id,
  case when ov.left_hop = 0 or rv.exception is not null then 'info' else coalesce(rv.severity, 'info') end as severity,
  rv.rule as rule,
  case when ov.left_hop = 0 then null else rv.assumption end as assumption,
  rv.warnings as verdict_warnings,
  -- 1 when this is the line to count: no duplicate view, and the next hop's log was not read for this time
  case
    when ov.duplicate_view = 1 then 0
    when ov.left_hop = 0 or rv.next_hop_from_ms is null then 1
    when f.started_at_ms between rv.next_hop_from_ms and rv.next_hop_until_ms then 0
    else 1
  end as counted
from flow f
join source s on s.id = f.source
join destination d on d.id = f.destination
left join policy_interval i on f.started_at_ms >= i.from_ms and f.started_at_ms < i.until_ms
left join route_verdict rv on rv.key = i.id * 1099511627776 + s.class * 1048576 + d.class
left join outcome_verdict ov on ov.context = rv.context and ov.outcome = f.outcome;
