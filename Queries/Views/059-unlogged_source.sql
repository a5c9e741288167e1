-- Sources whose client wrote no line of its own in any log that was read. Left out is what speaks over loopback, a process in the pod
-- of the proxy that logged it: a gateway, whose log is to be read, and nobody who could have a sidecar.
create view unlogged_source as
select s.id
from source s
where coalesce(s.client_ip, '') <> '::1'
  and coalesce(s.client_ip, '') not glob '127.*'
  and coalesce(s.client_ip, '') not in (
    select o.proxy_ip
    from source o
    where o.proxy_ip is not null
      and o.proxy = 'envoy'
      and o.shape in ('outbound', 'outbound-forwarded', 'inbound', 'gateway', 'gateway-to-loopback')
  );
