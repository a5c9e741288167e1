-- What each log looks like, noted while it is read, so that every answer can say it without looking at all flows again.
-- Sources/FlowStore/LogSigns.swift writes it; Queries/Reports/coverage.sql looks at the flows themselves.
create table log_sign (
  log integer primary key,
  stored integer not null,            -- lines of it that were looked at, as log.stored
  roles text,                         -- comma list of roles that lines of it have
  has_success integer not null,       -- one line tells of a success; none: perhaps a filter logs failures alone
  is_tail integer not null            -- as "kubectl logs -l" prints without --tail: ten lines of each pod
);
