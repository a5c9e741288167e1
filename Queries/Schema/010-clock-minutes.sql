-- What each minute shows of the clock of a sidecar or a proxy: one that is wrong by minutes puts lines where nobody looks for
-- their other hops, and then the silence of a log, or a line that nothing accounts for, is no sign of anything.
create table clock_hour (
  log integer not null,
  proxy_ip text not null,             -- the proxy's own address; empty where it logs none
  hour integer not null,              -- Unix time in hours
  -- For each minute with lines three bytes: the minute, lines that are joined, lines that should be (of a proxy: clients
  -- with such lines); both halved until they fit.
  minutes blob not null,
  primary key (log, proxy_ip, hour)
) without rowid;

-- When the lines of a gateway or a proxy are no evidence against their clients: too many have none that accounts for them.
create table doubtful_clock (
  log integer not null,
  proxy_ip text not null,
  from_ms integer not null, until_ms integer not null,
  primary key (log, proxy_ip, from_ms)
) without rowid;

-- Everything is judged and joined anew.
delete from own_log;
delete from meta where key in ('judged', 'judgement');
insert or ignore into open_minute (minute)
select distinct minute
from flow_minute;
