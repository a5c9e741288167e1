-- What totals are made of: each flow once. Where several hops of one way were logged and read, the hop closest to the
-- destination stands for it; an earlier hop counts only for times that the next hop's log does not cover. Second
-- views of a flow (bumped CONNECTs, periodic records) never count.
create view counted_flow as
select
  j.id,
  j.started_at_ms,
  j.started_at_ms / 1000 as started_at_epoch,
  j.duration_ms,
  j.source_id,
  j.sender_id,
  j.destination_id,
  j.outcome_id,
  j.path_template_id,
  j.source_port,
  j.bytes_sent,
  j.bytes_received,
  j.request_hash,
  j.line,
  j.log_id,
  j.role,
  j.path,
  j.outcome,
  j.reason,
  j.bypass,
  j.bypass_reason,
  j.around,
  j.exception_id,
  j.severity,
  j.rule,
  j.assumption,
  j.verdict_warnings
from judged_flow j
where j.counted = 1;
