-- What a proxy's line becomes once its client is proven to have come around a hop, and what such a proof rests on.

-- The places of flows in hop_place have two bits more: 16 a proxy's line with no earlier hop, and none of the client's own
-- lines could be it; 32 no earlier hop is known, but the connection is one that the client's sidecar logged.

-- Words by the number that judged_flow reckons with (BypassReason in Sources/Flows/Vocabulary.swift).
create table bypass_reason (id integer primary key, word text not null);
insert into bypass_reason (id, word)
values (1, 'client-has-no-sidecar'), (2, 'client-skipped-its-sidecar'), (3, 'client-skipped-the-gateway');

alter table route_verdict add column claim text;             -- the bypass that the line alone does not prove
alter table route_verdict add column claim_severity text;
alter table route_verdict add column claim_around text;      -- what was bypassed: sidecar or gateway
alter table route_verdict add column claim_reason integer;   -- bypass_reason, where an inventory proves it
alter table route_verdict add column claim_needs_gateway integer;  -- 1: a sidecar as the hop before proves it too

-- Of a sidecar's lines, noted when hops are joined: the earliest and the latest end of a flow (a line is written when its
-- flow ends), and whether there is a line that a filter for errors and undeclared destinations would have left out.
alter table source add column first_end_ms integer;
alter table source add column last_end_ms integer;
alter table source add column logs_success integer;
-- Starts of the first and the last line that was joined with its next hop: then the proxy's clock was right.
alter table source add column first_joined_ms integer;
alter table source add column last_joined_ms integer;

-- For which times the log of a pod's own sidecar was read without a gap and unfiltered: what ended in between and is not
-- in it did not pass that sidecar.
create table own_log (
  client_ip text not null,
  from_ms integer not null, until_ms integer not null,
  primary key (client_ip, from_ms)
) without rowid;

-- Everything is judged and joined anew.
delete from meta where key in ('judged', 'judgement');
insert or ignore into open_minute (minute)
select distinct minute
from flow_minute;
