-- A client may have read less than its proxy sent, which is now a doubt and no proof that it came around its sidecar: stores with
-- lines of such proxies are joined anew.
update meta set value = '0' where key = 'judged';
insert or ignore into open_minute (minute)
select distinct minute
from flow_minute
where exists (
    select 1
    from source
    where proxy in ('squid', 'nginx-stream', 'nginx-http')
  );
