-- Traffic that a policy refused: REGISTRY_ONLY, RBAC, an external authorizer, a rate limit, Squid's access list.
-- Failures of the destination or of the network are not here (outcome failed or timeout), nor is Squid's 407
-- (outcome challenge), nor an answer 403 of the destination itself.
create view blocked_flow as
select
  j.id,
  j.started_at_ms,
  j.started_at_ms / 1000 as started_at_epoch,
  j.source_id,
  j.sender_id,
  j.destination_id,
  j.outcome_id,
  j.path_template_id,
  j.source_port,
  j.request_hash,
  j.line,
  j.log_id,
  j.role,
  j.path,
  j.reason,
  j.rule,
  j.verdict_warnings,
  j.journey
from judged_flow j
where j.outcome = 'blocked'
  and j.counted = 1;
