-- source.first_end_ms and last_end_ms are noted also of the clients of gateways and proxies, and of lines about what was never
-- sent: for how long a pod is known to have lived, and for how long its sidecar wrote. Stores with such lines are joined anew.
insert or ignore into open_minute (minute)
select distinct minute
from flow_minute
where exists (select 1 from hop_journey)
  or exists (
    select 1
    from source
    where first_end_ms is null
      and received_as is null
      and (proxy <> 'envoy' or shape in ('gateway', 'gateway-to-loopback', 'not-sent'))
  );
