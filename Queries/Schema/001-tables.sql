-- Gatewatch keeps what repeats once (source, destination, outcome, path_template) and one narrow row per flow.
-- Times are Unix milliseconds, UTC. Names and columns of the views in Queries/Views are the contract; these tables are not.

create table meta (
  key text primary key,
  value text
) without rowid;

-- One generation of one log: the content from its first byte on, whatever it is called today.
create table log (
  id integer primary key,
  path text not null,                 -- when last read
  device integer, inode integer,
  generation integer not null default 1,
  compressed integer not null default 0,
  size integer, mtime_ns integer,     -- when last read, of the file as it lies on disk
  position integer not null default 0,   -- bytes consumed, of the decompressed content
  lines integer not null default 0,      -- lines consumed
  head_length integer not null default 0, head_hash integer not null default 0,
  tail_length integer not null default 0, tail_hash integer not null default 0,
  prefix_state blob,                  -- running hash over all consumed bytes
  carry blob,                         -- wrapper state between two runs
  pending integer not null default 0, -- bytes of an unfinished last line
  namespace text, pod text, container text,
  label text,
  declared_role text,                 -- --role
  formats text,                       -- comma list of the formats met
  read integer not null default 0, stored integer not null default 0,
  rejected integer not null default 0, skipped integer not null default 0,
  pruned integer not null default 0,     -- of the stored flows, those removed since
  first_ms integer, last_ms integer,  -- earliest start, latest end of its flows
  first_read_at_ms integer, last_read_at_ms integer,
  note text                           -- truncated, rewritten, copied from, ...
);
create index log_inode on log (device, inode);

-- Line to byte offset, one mark per stored batch, so that a line can be read back.
create table line_mark (
  log integer not null, line integer not null, position integer not null,
  primary key (log, line)
) without rowid;

create table source (
  id integer primary key,
  class integer,                      -- set by the judgement; early in the row, for every flow asks for it
  log integer not null,
  proxy text not null, shape text not null,
  client_ip text, client_forwarded integer not null default 0,
  proxy_ip text, namespace text, pod text, container text, peer text,
  name text                           -- workload or pod, set by the judgement
);

create table destination (
  id integer primary key,
  class integer,                      -- set by the judgement
  host text, host_origin text, port integer not null default 0, traffic text not null,
  authority text, sni text, cluster text, route_name text,
  upstream_ip text, upstream_port integer, upstream_name text,
  dialled_ip text, dialled_port integer, logs_upstream integer not null
);

create table outcome (
  id integer primary key,
  protocol text, method text, status integer, flags text, details text, termination text, failure text,
  record_type text, pseudo_target text, warnings integer not null default 0
);

-- Dictionary look-ups by value: a 64-bit hash of all columns finds the few candidates, the columns decide.
-- (A unique index over a dozen nullable columns would be larger than the table.)
create table dictionary_key (
  kind integer not null,              -- 1 source, 2 destination, 3 outcome, 4 path template
  hash integer not null, id integer not null,
  primary key (kind, hash, id)
) without rowid;

create table path_template (id integer primary key, path text not null);

create table flow (
  id integer primary key,
  started_at_ms,                      -- columns without a type: no affinity to apply per row
  duration_ms,                        -- NULL: not logged
  source, destination, outcome, path_template,
  ports,                              -- (client port << 16 | port dialled out from) - 2^31
  sent, received,                     -- NULL: not logged
  request_hash,                       -- NULL: no request id
  line
);

create table rejected_line (
  id integer primary key,
  log integer not null, line integer not null, reason text not null, detail text, text text not null
);
create table line_count (             -- rejected by reason, skipped by kind, stored by format
  log integer not null, what text not null, name text not null, count integer not null,
  primary key (log, what, name)
) without rowid;

-- The judgement (see Sources/Flows/Judgement.swift): rewritten whenever the policy or the dictionaries change.
create table policy_interval (
  from_ms integer primary key,        -- the look-up of a flow's start: the last interval that began before it
  until_ms integer not null, id integer not null
);
create table route_verdict (
  -- interval * 2^40 + source class * 2^20 + destination class
  key integer primary key,
  role text not null, path text not null, bypass text, severity text not null, context text not null,
  context_key integer not null,       -- number of the context * 2^40, first half of the key of outcome_verdict
  rule text not null, assumption text, exception integer, warnings text,
  next_hop text, next_hop_from_ms integer, next_hop_until_ms integer
);
create table outcome_verdict (
  key integer primary key,            -- number of the context * 2^40 + outcome
  result text not null, reason text, left_hop integer not null, duplicate_view integer not null,
  never_clears integer not null,      -- the line is too doubtful for an exception to allow its bypass
  context text not null, outcome integer not null
);
create table assumption (id integer primary key, text text not null);
create table policy_exception (
  id integer primary key, label text not null, owner text, reason text, expires_ms integer
);

-- What alert has told, so that it tells once.
create table finding (
  id integer primary key,
  kind text not null, severity text not null, source text not null, host text not null, port integer not null,
  count integer not null, first_seen_ms integer, last_seen_ms integer,
  first_alerted_ms integer, last_alerted_ms integer, alerts integer not null default 0, alerted_count integer not null default 0,
  state text not null default 'open',
  unique (kind, source, host, port)
);

-- Lines of inputs without identity (stdin, kubectl logs) that were stored with --overlap.
create table seen_line (hash integer not null, ordinal integer not null, primary key (hash, ordinal)) without rowid;
