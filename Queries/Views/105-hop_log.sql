-- Which logs hold lines of a gateway or proxy that others hand traffic on to: its role, the address it listens at, and the pod it runs
-- in; NULL where its lines do not say.
create view hop_log as
select distinct
  l.id as log,
  l.path,
  l.first_ms,
  l.last_ms,
  coalesce(
    nullif(nullif(l.declared_role, 'unknown'), ''),
    case
      when s.proxy = 'nginx-stream' then 'sni-proxy'
      when s.proxy in ('squid', 'nginx-http') then 'forward-proxy'
      when s.shape in ('gateway', 'gateway-to-loopback') then 'gateway'
    end) as role,
  nullif(nullif(s.proxy_ip, '0.0.0.0'), '::') as address,
  coalesce(s.namespace, '') || '/' || s.pod as pod
from log l
join source s on s.log = l.id
where l.first_ms is not null
  -- What stands beside a Squid's access log does not show that that was read.
  and s.shape <> 'side-log';
