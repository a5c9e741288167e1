-- Sources whose client is itself a gateway or a proxy, or speaks over loopback to the one in its pod: who sent that traffic stands
-- in the line of the hop before.
create view relay_source as
select s.id
from source s
where s.client_forwarded = 0
  and (s.proxy <> 'envoy' or s.shape in ('gateway', 'gateway-to-loopback'))
  and (
    s.client_ip = '::1'
    or s.client_ip glob '127.*'
    or s.client_ip in (
      select p.proxy_ip
      from source p
      where p.proxy_ip is not null
        and (p.proxy <> 'envoy' or p.shape in ('gateway', 'gateway-to-loopback'))
    )
  );
