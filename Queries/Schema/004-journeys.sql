-- Which flows are hops of one way. A flow that was joined with no other has no row here.
create table flow_hop (
  flow integer primary key,
  journey,                            -- 64 bits of the first hop's own content, so the same whatever was read first
  place                               -- bits: 1 has an earlier hop, proven by the connection; 2 has a later hop;
                                      -- 4 an attempt that was repeated; 8 has an earlier hop by its request id alone
);

-- Where the flows that began in a minute stand: one row per stored batch and minute.
create table flow_minute (
  minute integer not null,            -- Unix time / 60, rounded down
  first_flow integer not null, last_flow integer not null,
  flows integer not null,             -- of this minute; others may stand between them
  primary key (minute, first_flow)
) without rowid;

-- Minutes with flows that were stored since hops were last joined.
create table open_minute (minute integer primary key);

insert into flow_minute (minute, first_flow, last_flow, flows)
select
  minute,
  min(id),
  max(id),
  count(*)
from (
  select
    id,
    started_at_ms / 60000 - (started_at_ms % 60000 < 0) as minute
  from flow
)
group by minute, id / 8192;

insert into open_minute (minute)
select distinct minute
from flow_minute;
