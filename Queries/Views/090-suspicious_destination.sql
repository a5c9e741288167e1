-- What is odd about the names and addresses of a destination, whoever went there: signs that a name is not what it seems, none of
-- them a proof of guilt. A destination can have several. `kind` and `confidence`:
--   sni-authority-mismatch  likely   TLS asked for one host, the request inside for another
--   connect-sni-mismatch    certain  a CONNECT named one host, the TLS inside it another
--   ip-literal              likely   an address stands where names are checked: authority, CONNECT target or SNI
--   sni-invalid             hint     Envoy put other characters into the SNI, which no host name has (it does so for `_`, too);
--                           likely   the SNI holds such characters
--   authority-address       likely   the client chose the address for a declared name that proxies resolve to addresses elsewhere,
--                                    from known_from_ms until known_until_ms: long before or after, the name may have moved;
--                           hint     that address is a neighbour of theirs, or of the other version of IP, proxies resolve
--                                    another name to it, or this one to three networks and more, as content networks
--                                    have them, or the name opened no way, since the traffic was passed through anyway
--   one-address-many-names  hint     clients chose one address, to which no proxy resolves a name, for five or more unrelated names,
--                                    most of which have others that are theirs alone: no front end that many share
-- What a client can write teaches nothing here: addresses of a host are those that the mesh's DNS, an SNI proxy or Squid chose.
create view suspicious_destination as
with place as materialized (
  select
    id,
    host,
    host_origin,
    port,
    traffic,
    authority,
    case when sni not glob 'outbound_.*' and sni not glob 'inbound_.*' and sni not glob 'outbound|*' then rtrim(sni, '.') end as sni,
    cluster,
    upstream_ip,
    upstream_port,
    dialled_ip,
    dialled_port,
    -- The first letter tells most names from addresses, and to look for five labels takes long.
    case
      when authority glob '[0-9]*' then
        authority glob '[0-9]*.[0-9]*.[0-9]*.[0-9]*' and authority not glob '*[^0-9.]*' and authority not glob '*.*.*.*.*'
          or authority glob '*:*:*' and authority not glob '*[^0-9a-f:.]*'
      when authority glob '[a-f:.]*' then authority glob '*:*:*' and authority not glob '*[^0-9a-f:.]*'
      else 0
    end as authority_is_address,
    case
      when sni glob '[0-9]*' then
        sni glob '[0-9]*.[0-9]*.[0-9]*.[0-9]*' and sni not glob '*[^0-9.]*' and rtrim(sni, '.') not glob '*.*.*.*.*'
          or sni glob '*:*:*' and sni not glob '*[^0-9a-f:.]*'
      when sni glob '[a-f:.]*' then sni glob '*:*:*' and sni not glob '*[^0-9a-f:.]*'
      else 0
    end as sni_is_address
  from destination
),
-- Clusters whose addresses the proxy resolves: what was dialled is not where it went. (A gateway's listener is no such place.)
resolved as materialized (
  select cluster
  from place
  where upstream_ip <> dialled_ip
    and cluster is not null
    and dialled_ip not in (
      select proxy_ip
      from source
      where shape in ('gateway', 'gateway-to-loopback')
        and proxy_ip is not null
    )
  group by cluster
),
client_chosen as materialized (
  select
    id,
    host,
    upstream_ip as address,
    cluster glob 'outbound|*' as name_opens
  from place
  where host_origin in ('authority', 'sni')
    and upstream_ip = dialled_ip
    and upstream_port = dialled_port
    and cluster is not null
    and cluster not in (select cluster from resolved)
    and host glob '*.*'
),
-- Addresses that another than the client may have chosen for a name.
candidate as materialized (
  select id, host, host_origin, authority, cluster, upstream_ip as address
  from place
  where upstream_ip is not null
    and host in (select host from client_chosen)
    and upstream_ip not in (select proxy_ip from source where proxy_ip is not null)
    and case
      when cluster is null then dialled_ip is null
      else substr(cluster, -length(host) - 1) = '|' || host
        and cluster glob 'outbound|*'
        and (upstream_ip is not dialled_ip or cluster in (select cluster from resolved))
    end
),
-- Of these, what a proxy's unambiguous line says, and when.
resolving as materialized (
  select
    f.destination as id,
    min(f.started_at_ms) as first_ms,
    max(f.started_at_ms) as last_ms
  -- Mostly there is none, and then no flow is looked at.
  from (select 1 from candidate limit 1)
  cross join flow f
  join candidate k on k.id = f.destination
  join source s on s.id = f.source
  join outcome o on o.id = f.outcome
  where f.destination in (select id from candidate)
    and o.warnings & 1 = 0
    and case s.proxy
      when 'envoy' then k.cluster is not null and coalesce(s.container, 'istio-proxy') = 'istio-proxy'
      when 'squid' then k.host_origin = 'target' and k.authority = k.host and instr(o.details, 'DIRECT') > 0
      else k.host_origin = 'sni' and k.authority is null and k.cluster is null
    end
  group by f.destination
),
chosen as materialized (
  select
    c.host,
    c.address,
    c.address glob '*:*' as is_ipv6,
    case
      when c.address glob '*:*' then substr(c.address, 1, instr(c.address, ':') + instr(substr(c.address, instr(c.address, ':') + 1), ':'))
      else rtrim(rtrim(rtrim(c.address, '0123456789'), '.'), '0123456789')
    end as network,
    max(c.cluster is not null) as is_of_mesh,
    min(r.first_ms) as first_ms,
    max(r.last_ms) as last_ms
  from candidate c
  join resolving r on r.id = c.id
  group by c.host, c.address
),
-- An address that a proxy used for many names may be another proxy's.
shared as materialized (
  select address
  from chosen
  where is_of_mesh = 0
  group by address
  having count(*) > 3
),
-- What proxies know of a name: addresses in how many networks, and from when until when. A name with many of them has more.
known as materialized (
  select
    host,
    is_ipv6,
    count(distinct network) as networks,
    min(first_ms) as first_ms,
    max(last_ms) as last_ms
  from chosen
  group by host, is_ipv6
),
odd_address as materialized (
  select
    c.id,
    c.host,
    c.address,
    c.name_opens,
    exists (select 1 from chosen k where k.address = c.address)
      or exists (
        select 1
        from chosen k
        where k.host = c.host
          and k.network = case
            when c.address glob '*:*' then substr(c.address, 1, instr(c.address, ':') + instr(substr(c.address, instr(c.address, ':') + 1), ':'))
            else rtrim(rtrim(rtrim(c.address, '0123456789'), '.'), '0123456789')
          end
      ) as is_near,
    n.networks,
    n.first_ms,
    n.last_ms,
    (
      select group_concat(address, ', ')
      from (select k.address from chosen k where k.host = c.host order by k.address limit 3)
    ) as others
  from client_chosen c
  left join known n on n.host = c.host and n.is_ipv6 = (c.address glob '*:*')
  where c.host in (select k.host from chosen k where k.address not in (select address from shared))
    and not exists (select 1 from chosen k where k.host = c.host and k.address = c.address)
),
place_of_host as materialized (
  select distinct host, upstream_ip as address
  from place
  where upstream_ip is not null
    and host glob '*.*'
),
names_of_address as materialized (
  select address, count(*) as names
  from place_of_host
  group by address
),
-- Names with addresses elsewhere, none of which is another name's, too: what they have in common is one address alone.
solitary as materialized (
  select h.host
  from place_of_host h
  join names_of_address n on n.address = h.address
  group by h.host
  having count(*) > 1
    and sum(n.names > 1) = 1
),
-- Most addresses have fewer destinations than names are asked for below: then nobody looks at the names of all others.
busy as materialized (
  select address
  from client_chosen
  group by address
  having count(*) >= 5
),
crowded as materialized (
  select
    c.address,
    count(distinct c.host) as hosts,
    count(distinct c.site) as sites
  from (
    select
      host,
      address,
      -- The last two labels.
      substr(host, length(rtrim(rtrim(rtrim(host, replace(host, '.', '')), '.'), replace(host, '.', ''))) + 1) as site
    from client_chosen
    where address in (select address from busy)
  ) c
  -- A front end that proxies resolve names to, too, is none that clients made up.
  where c.address not in (select k.address from chosen k)
  group by c.address
  having count(distinct c.site) >= 5
    and 2 * count(distinct case when c.host in (select host from solitary) then c.host end) > count(distinct c.host)
)
select
  id as destination_id,
  case when host_origin = 'target' and traffic = 'tcp' then 'connect-sni-mismatch' else 'sni-authority-mismatch' end as kind,
  case when host_origin = 'target' and traffic = 'tcp' then 'certain' else 'likely' end as confidence,
  coalesce(upstream_ip, dialled_ip) as address,
  case
    when host_origin = 'target' and traffic = 'tcp' then 'CONNECT asked for ' || authority || ', the TLS inside for ' || sni
    else 'TLS asked for ' || sni || ', the request inside for ' || authority
  end as evidence,
  null as known_from_ms,
  null as known_until_ms
from place
where authority <> sni
  and authority <> ''
  and authority_is_address = 0
  and sni_is_address = 0
  and sni not glob 'invalid:*'
  -- A wildcard stands for the names under it.
  and not (authority glob '[*].*' and substr(sni, -length(authority) + 1) = substr(authority, 2))
  and not (sni glob '[*].*' and substr(authority, -length(sni) + 1) = substr(sni, 2))
union all
select
  id,
  'ip-literal',
  'likely',
  coalesce(upstream_ip, dialled_ip),
  case
    when authority_is_address = 1 and host_origin = 'target' or authority_is_address = 1 and traffic = 'tcp'
      then 'the CONNECT target is the address ' || authority
    when authority_is_address = 1 then 'the authority is the address ' || authority
    else 'the SNI is the address ' || sni
  end,
  null,
  null
from place
where authority_is_address = 1
  or sni_is_address = 1
union all
select
  id,
  'sni-invalid',
  case when sni glob 'invalid:*' then 'hint' else 'likely' end,
  coalesce(upstream_ip, dialled_ip),
  case
    when sni glob 'invalid:*' then 'the SNI held characters that no host name has; Envoy made it ' || substr(sni, 9)
    else 'the SNI holds characters that no host name has: ' || sni
  end,
  null,
  null
from place
where sni glob 'invalid:*'
  or sni glob '*[^a-z0-9._:*-]*'
union all
select
  id,
  'authority-address',
  case when is_near or not name_opens or coalesce(networks, 3) >= 3 then 'hint' else 'likely' end,
  address,
  host || ' went to ' || address || ', an address that its client chose; proxies resolve it to ' || others
    || case
      when is_near then ' (nearby, or they resolve another name to this one)'
      when networks is null then ' (of the other version of IP)'
      when networks >= 3 then ' (in ' || networks || ' networks, so that it may well have more)'
      else ''
    end,
  first_ms,
  last_ms
from odd_address
union all
select
  c.id,
  'one-address-many-names',
  'hint',
  c.address,
  'clients chose ' || c.address || ' for ' || m.hosts || ' names of ' || m.sites
    || ' unrelated sites, most of which have addresses of their own',
  null,
  null
from crowded m
join client_chosen c on c.address = m.address;
