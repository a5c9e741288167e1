-- Traffic of which nobody can say whether it passed the gateway: it is no finding, and it is no all-clear either.
-- `why` is the first that holds of:
--   not-judged         the store was read before verdicts were written
--   ambiguous-columns  the line can be read in more than one way
--   path-unknown       neither the addresses nor the policy say where it went
--   assumption         the path rests on what `assumption` says, which no line and no policy proves
--   source-unproven    a proxy's line whose client no sidecar's or gateway's line accounts for
--                      or, of a client that has no sidecar by the policy or the topology, whatever does
--   exception-assumed  it went around the gateway, and that an exception allows it rests on what `assumption` says; these
--                      are in bypass_flow, too
-- Other flows that are a bypass for certain are in bypass_flow alone; what was never sent needs no proof.
create view unproven_flow as
select
  j.id,
  j.started_at_ms,
  j.started_at_ms / 1000 as started_at_epoch,
  j.duration_ms,
  j.source_id,
  j.destination_id,
  j.outcome_id,
  j.source_port,
  j.bytes_sent,
  j.bytes_received,
  j.line,
  j.log_id,
  j.role,
  j.path,
  j.outcome,
  j.rule,
  j.assumption,
  j.verdict_warnings,
  case
    when j.bypass is not null then 'exception-assumed'
    when j.rule is null then 'not-judged'
    when j.never_clears = 1 then 'ambiguous-columns'
    when j.path = 'unknown' then 'path-unknown'
    when j.assumption is not null then 'assumption'
    else 'source-unproven'
  end as why,
  j.counted
from judged_flow j
where j.path <> 'none'
  and j.duplicate_view = 0
  and case
    when j.bypass is not null then j.exception_id is not null and j.assumption is not null
    else
      j.path = 'unknown'
      or j.never_clears = 1
      or j.assumption is not null
      or instr(',' || j.verdict_warnings || ',', ',source-unproven,') > 0
  end;
