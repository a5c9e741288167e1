-- What a line proves of others is judged more strictly than before; and stores with a Squid's lines, or with pods that dialled
-- themselves, are joined anew.
update meta set value = '0' where key = 'judged';
insert or ignore into open_minute (minute)
select distinct minute
from flow_minute
where exists (
    select 1
    from source
    where proxy = 'squid'
      or (shape = 'gateway' and client_ip = proxy_ip)
  );
