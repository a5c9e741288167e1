-- The places of flows in hop_place have one bit more: 64 leads to the hop behind it by looks alone, at a Squid that does not log where
-- it is. Stores with such lines are joined anew, and all are judged anew.
update meta set value = '0' where key = 'judged';
insert or ignore into open_minute (minute)
select distinct minute
from flow_minute
where exists (
    select 1
    from source
    where proxy = 'squid'
      and coalesce(proxy_ip, '0.0.0.0') in ('0.0.0.0', '::')
  );
