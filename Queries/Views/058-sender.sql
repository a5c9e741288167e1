-- Who is named for a `sender_id` of a flow: who sent it, where another proxy handed it on and the connections show who that
-- was; else who came to the proxy that logged it.
create view sender as
select
  s.id,
  o.shown_name,
  o.name,
  o.pod,
  o.client_forwarded,
  o.client_ip,
  o.proxy_ip
from source s
join named_source o on o.id = coalesce(s.sender, s.id);
