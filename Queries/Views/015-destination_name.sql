-- What a destination may be asked for by: the host that the client wrote, the one that Envoy's cluster was made for, and the
-- address that was reached. The client alone chooses the first; a bypass is found by the others, too.
create view destination_name as
select id, host as name from destination where host is not null
union all
select id, upstream_ip from destination where upstream_ip is not null
union all
-- outbound|PORT|SUBSET|HOST: what follows the last bar.
select id, substr(cluster, length(rtrim(cluster, replace(cluster, '|', ''))) + 1)
from destination
where cluster glob 'outbound|*|*';
