-- What a destination may be asked for by: the names that the client wrote (host is one of them), the one that Envoy's cluster was
-- made for, and the addresses that were dialled and reached. The client alone chooses the first; a bypass is found by the others, too.
create view destination_name as
select id, host as name from destination where host is not null
union all
select id, authority from destination where authority <> host
union all
select id, sni from destination where sni <> host
union all
select id, upstream_ip from destination where upstream_ip is not null
union all
select id, dialled_ip from destination where dialled_ip <> host
union all
-- outbound|PORT|SUBSET|HOST, at a waypoint inbound-vip|PORT|SUBSET|HOST: what follows the last bar.
select id, substr(cluster, length(rtrim(cluster, replace(cluster, '|', ''))) + 1)
from destination
where cluster glob 'outbound|*|*'
  or cluster glob 'inbound-vip|*|*';
