-- Sources by the name that is shown of them: what the policy or the topology calls it, its pod, or an address. An address that
-- only a header told of comes last.
--
-- The pod that wrote a line is its client's only where that speaks over a sidecar of its own, or from within the pod: the log
-- of a gateway or a proxy, of who is reached, and of what a gateway never sent, is named after another pod than its clients'.
create view named_source as
select
  id,
  coalesce(name, pod, case when client_forwarded = 0 then client_ip end, written_by, proxy_ip, client_ip, '?') as shown_name,
  name,
  -- The client's, with its namespace where that is known: several namespaces have pods of one name.
  pod,
  -- Whose log it is, whoever the client was.
  written_by,
  proxy,
  shape,
  client_forwarded,
  client_ip,
  proxy_ip,
  -- That of who came to the proxy, where this one tells who sent it; see the view sender.
  received_as,
  sender
from (
  select
    s.id,
    s.name,
    case
      when s.shape in ('outbound', 'outbound-forwarded') then coalesce(s.namespace || '/', '') || s.pod
      when s.client_ip is null or s.client_forwarded = 1 then
        case
          when s.shape not in ('gateway', 'gateway-to-loopback', 'waypoint', 'inbound', 'server', 'side-log')
            then coalesce(s.namespace || '/', '') || s.pod
        end
      when s.client_ip = s.proxy_ip
        or s.client_ip = '::1'
        or s.client_ip glob '127.*'
        -- A socket's path, or Envoy's own name for a listener.
        or s.client_ip not glob '[0-9a-f:]*'
        or s.client_ip glob 'envoy:*'
        or (
          s.pod is not null
          -- Lines of its sidecar show the address to be this pod's.
          and (coalesce(s.namespace, ''), s.pod, s.client_ip) in (
            select coalesce(o.namespace, ''), o.pod, o.proxy_ip
            from source o
            where o.shape in ('outbound', 'outbound-forwarded', 'inbound')
              and o.pod is not null
          )
        )
        then coalesce(s.namespace || '/', '') || s.pod
    end as pod,
    coalesce(s.namespace || '/', '') || s.pod as written_by,
    s.proxy,
    s.shape,
    s.client_forwarded,
    s.client_ip,
    s.proxy_ip,
    s.received_as,
    s.sender
  from source s
);
