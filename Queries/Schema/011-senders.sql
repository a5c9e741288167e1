-- Who sent what one proxy handed on to another: the line of the last hop tells of the proxy before it, or of 127.0.0.1 where
-- both are in one pod. Joining writes it down where the connections of all hops show who began the way.

-- A source may stand for another one with its sender: a row that no line has, with all columns of the source that the lines
-- have, so that verdicts and sums go by it as by that one.
alter table source add column received_as integer;   -- that source; NULL: lines have this one
alter table source add column sender integer;        -- the source of the first hop of the way

create table relayed_flow (
  flow integer primary key,
  source integer not null              -- flow.source with its sender
);

-- Stores in which a proxy is the client of another are joined anew.
insert or ignore into open_minute (minute)
select distinct minute
from flow_minute
where exists (select 1 from hop_journey)
  and exists (
    select 1
    from source s
    where s.client_forwarded = 0
      and (s.proxy <> 'envoy' or s.shape in ('gateway', 'gateway-to-loopback'))
      and (
        s.client_ip = '::1'
        or s.client_ip glob '127.*'
        or s.client_ip in (
          select p.proxy_ip
          from source p
          where p.proxy_ip is not null
            and (p.proxy <> 'envoy' or p.shape in ('gateway', 'gateway-to-loopback'))
        )
      )
  );
