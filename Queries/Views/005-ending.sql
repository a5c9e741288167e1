-- What each outcome is in its context, and what follows from that alone.
create view ending as
select
  ov.*,
  -- The line itself says that no connection came about: no next hop can tell of it.
  ov.result = 'mesh-fault'
    or coalesce(
      ov.reason in ('connection-refused', 'connection-failure', 'connection-timeout', 'unreachable', 'tls', 'dns'), 0
    ) as is_unconnected
from outcome_verdict ov;
