-- Traffic that left around a hop of the mesh's way out: something was sent, and the line proves that it went another way
-- than the gateway, an SNI proxy behind it or a declared forward proxy; or it did pass one of these, and `bypass_reason`
-- says what else proves that its client came around the hop before. `around` names the hop: the sidecar or the gateway.
--
-- `allowed` is 1 where an exception of the policy covers it: such flows are listed, and raise no finding. Also
-- listed are hops that totals leave out because a later hop's log was read: having been seen later does not undo a
-- bypass. Second views of a flow are not listed: the first one is.
create view bypass_flow as
select
  j.id,
  j.started_at_ms,
  j.started_at_ms / 1000 as started_at_epoch,
  j.duration_ms,
  j.source_id,
  j.sender_id,
  j.destination_id,
  j.outcome_id,
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
  j.severity,
  j.rule,
  j.assumption,
  j.verdict_warnings,
  j.exception_id,
  j.exception_id is not null as allowed,
  j.counted
from judged_flow j
where j.bypass is not null
  and j.duplicate_view = 0;
