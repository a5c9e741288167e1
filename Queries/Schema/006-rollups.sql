-- Rollups: runs of flows summed up by what was logged (source, destination, how it ended, place in a journey), never by path
-- or bypass, so that another policy needs no other ones. A run says what its rows say, no more: it can be dropped at any
-- time, and is where rows or their places change. Flows that no run covers are looked at row by row.
create table rollup_run (
  id integer primary key,
  first_flow integer not null,        -- the run stands for all rows with ids from here
  last_flow integer not null,         -- to here, inclusive; runs do not overlap
  flows integer not null,
  first_ms integer not null, last_ms integer not null,   -- earliest and latest start
  version integer not null,           -- of the bytes in here and in rollup_part
  members blob not null               -- outcomes and sources that are summed up together; see RollupRun.swift
);

create table rollup_part (
  id integer primary key,             -- run * 2^32 + kind * 2^31 + chunk; kind 0 counts, 1 durations
  content blob not null               -- of 1,024 destinations; see RollupCode.swift
);
