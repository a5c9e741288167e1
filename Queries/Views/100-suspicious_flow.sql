-- Flows to destinations with a sign of spoofing, one row for each sign: see suspicious_destination. A client's choice of an address
-- counts where the sidecar sent traffic there itself. Left out are traffic inside the mesh, what a policy refused (it is in
-- blocked_flow), what a proxy answered itself and sent nowhere (as it does a probe of its own address), probes, second views
-- of a flow, and lines that can be read in more than one way: those accuse nobody.
create view suspicious_flow as
with sign as materialized (
  select destination_id, kind, confidence, address, evidence, known_from_ms, known_until_ms
  from suspicious_destination
)
select
  j.id,
  j.started_at_ms,
  j.started_at_ms / 1000 as started_at_epoch,
  j.source_id,
  j.sender_id,
  j.destination_id,
  j.outcome_id,
  j.line,
  j.log_id,
  j.role,
  j.path,
  j.outcome,
  d.kind,
  case
    -- A sidecar's own traffic to an address is judged by where it goes; a place that checks names is another matter.
    when d.kind = 'ip-literal' and j.role not in ('gateway', 'sni-proxy', 'forward-proxy') then 'hint'
    -- Of what an exception allows on an assumption the path is certain, and the sign says that the assumption is wrong.
    when d.kind = 'authority-address'
      and (j.path = 'unknown' or j.assumption is not null and j.exception_id is null) then 'hint'
    -- Six hours away from what proxies resolved, a name may have moved to another provider.
    when d.kind = 'authority-address'
      and j.started_at_ms not between d.known_from_ms - 21600000 and d.known_until_ms + 21600000 then 'hint'
    else d.confidence
  end as confidence,
  d.address,
  d.evidence
from judged_flow j
join sign d on d.destination_id = j.destination_id
where j.destination_id in (select destination_id from sign)
  and j.duplicate_view = 0
  and j.never_clears = 0
  and j.path <> 'internal'
  and j.outcome not in ('blocked', 'noise')
  and not (j.path = 'none' and j.outcome = 'ok')
  and (
    d.kind not in ('authority-address', 'one-address-many-names')
    or (j.role = 'sidecar' and j.path in ('direct', 'passthrough', 'unknown'))
  );
