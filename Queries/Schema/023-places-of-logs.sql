-- Where a log lies, from the root on, when it was last met; NULL where it has no place, or was read by an earlier version.
alter table log add column full_path text;

-- What `alert` has weighed of what is new of a log.
create table weighed_log (
  log integer primary key,
  -- The lines up to which most were understood, or it was told that they were not.
  stored integer not null default 0, rejected integer not null default 0, told_rejected integer not null default 0,
  -- New flows, and those on an unknown path among them, that were too few to say anything of.
  flows integer not null default 0, unknown integer not null default 0, told_unknown integer not null default 0
);

-- What was read before is no news.
insert into weighed_log (log, stored, rejected)
select id, stored, rejected
from log;
