-- Traffic that found no answer though no policy refused it: the destination or a connection failed, somebody gave up waiting, or
-- the mesh had nowhere to send it. Each flow once, at the hop closest to the destination, which alone sees why: a tunnel
-- that ends at an SNI proxy or at Squid looks fine to all hops before.
create view failed_flow as
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
  j.request_hash,
  j.line,
  j.log_id,
  j.role,
  j.path,
  j.outcome,
  j.reason,
  j.rule,
  j.verdict_warnings,
  j.journey
from judged_flow j
where j.outcome in ('failed', 'timeout', 'mesh-fault')
  and j.counted = 1;
