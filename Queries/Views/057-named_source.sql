-- Sources by the name that is shown of them: what the policy or the topology calls it, its pod, or an address. An address that
-- only a header told of comes last.
create view named_source as
select
  id,
  coalesce(name, pod, case when client_forwarded = 0 then client_ip end, proxy_ip, client_ip, '?') as shown_name,
  name,
  pod,
  client_forwarded,
  client_ip,
  proxy_ip,
  -- That of who came to the proxy, where this one tells who sent it; see the view sender.
  received_as
from source;
