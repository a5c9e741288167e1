-- What `ingest --keep exceptions` keeps: a row in the table flow for each exception, and of the other flows sums alone. The
-- runs look like those of rollups, but stand for flows that have no row: they are facts, and nothing can make them anew.
-- Each outcome and each source is told apart, and what began in two hours is never summed up together, so that another
-- policy, or a limit of time, finds in them what it needs.
create table tally_run (
  id integer primary key,
  first_flow integer not null, last_flow integer not null,   -- 0: no row of the table flow is meant
  flows integer not null,
  first_ms integer not null, last_ms integer not null,
  version integer not null,
  members blob not null
);

create table tally_part (
  id integer primary key,             -- as in rollup_part
  content blob not null
);

-- Four bytes of each line that is in tallies alone: enough to recognise the line in the same place of its log.
create table line_print (
  log integer not null,
  first_line integer not null,
  prints blob not null,               -- four bytes per line from the first on, low byte first; 0: not in tallies
  primary key (log, first_line)
) without rowid;

-- Minutes in which flows began or ended that are in tallies alone. No hop is joined near them: the line that belongs to it
-- may be such a flow.
create table tallied_minute (
  minute integer not null,            -- as in flow_minute
  log integer not null,
  primary key (minute, log)
) without rowid;

-- Destinations of which a row was kept of a flow that is no exception: the first of each.
create table met_destination (destination integer primary key);

alter table log add column tallied integer not null default 0;   -- of the stored flows, those in tallies alone
alter table log add column kept text;                            -- not written any more: nothing asked for it
