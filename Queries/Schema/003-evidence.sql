-- The lines behind findings that were told, kept because the log may go away: of each finding the first and the last
-- few. Credentials and query strings are taken out before.
create table evidence (
  id integer primary key,
  kind text not null, source text not null, host text not null, port integer not null,
  -- The flow. Row ids are given anew after pruning; the line of a log and its start are not.
  log integer not null, line integer not null, started_at_ms integer not null,
  text text not null,
  kept_at_ms integer not null
);
create unique index evidence_flow on evidence (log, line, started_at_ms, kind, source, host, port);
create index evidence_finding on evidence (kind, source, host, port);
