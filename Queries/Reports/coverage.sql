-- title: Which logs were read, for which time
-- about: One line per log, the base of every other answer: what no log shows, no report can show. read =
--    stored + rejected + skipped. A gap is a silence of more than 15 minutes and ten times the log's usual pause between
--    two minutes with lines, the longest left out. Signs: errors-only, no line of ten or more tells of a success, as
--    where a filter logs failures alone; ten-line-tail, as "kubectl logs -l" prints without --tail; unfinished, the last
--    line has no end yet. Clients without a log of their own: gatewatch report unlogged.
-- rows: all
-- table: log roles formats first_seen last_seen gaps longest_gap gap_from read rejected skipped signs note
-- parameter: since_ms  first millisecond to include (Unix time)
-- parameter: until_ms  first millisecond no longer included
-- column: log            text   path when last read
-- column: roles          text   roles of the proxies that wrote it, or the declared one
-- column: formats        text   formats met
-- column: first_seen     first  earliest start of a flow
-- column: last_seen      last   latest end of a flow
-- column: gaps           number silences much longer than usual
-- column: longest_gap    ms     the longest of them
-- column: gap_from       time   the last line before it
-- column: usual_pause    ms     mean time between minutes with lines, without the longest
-- column: read           count  lines read
-- column: last_line      number number of the last line read
-- column: stored         count  lines stored
-- column: rejected       count  lines that nothing understood
-- column: skipped        count  lines recognised as something else
-- column: rejected_share number share of the lines read, 0 to 1
-- column: skipped_share  number share of the lines read, 0 to 1
-- column: pending        bytes  bytes of an unfinished last line
-- column: signs          text   what speaks against a whole log
-- column: read_at        last   when the log was last read
-- column: note           text   truncated, rewritten, ...
with busy as materialized (
  -- A proxy writes its line when a flow ends.
  select
    s.log,
    (f.started_at_ms + coalesce(f.duration_ms, 0)) / 60000 as minute,
    min(f.started_at_ms + coalesce(f.duration_ms, 0)) as from_ms,
    max(f.started_at_ms + coalesce(f.duration_ms, 0)) as until_ms
  from flow f
  join source s on s.id = f.source
  where (:since_ms is null or f.started_at_ms >= :since_ms)
    and (:until_ms is null or f.started_at_ms < :until_ms)
  group by s.log, (f.started_at_ms + coalesce(f.duration_ms, 0)) / 60000
),
pause as materialized (
  select
    log,
    until_ms as from_ms,
    lead(from_ms) over (partition by log order by minute) - until_ms as length
  from busy
),
usual as (
  select
    log,
    case when count(*) > 1 then (sum(length) - max(length)) / (count(*) - 1) end as usual
  from pause
  where length is not null
  group by log
),
gap as (
  -- With a single max, SQLite takes the other columns from its row.
  select
    p.log,
    count(*) as gaps,
    max(p.length) as longest,
    p.from_ms
  from pause p
  join usual u on u.log = p.log
  where p.length > max(900000, 10 * coalesce(u.usual, 0))
  group by p.log
),
tally as materialized (
  select
    log_id as log,
    source_id,
    role,
    outcome,
    count(*) as flows
  from judged_flow
  group by source_id, role, outcome
),
role_of_log as (
  select distinct log, role
  from tally
),
roles as (
  select log, group_concat(role, ', ') as roles
  from (select log, role from role_of_log order by log, role)
  group by log
),
success as (
  select
    log,
    sum(flows) as flows,
    sum(case when outcome = 'ok' then flows else 0 end) as ok
  from tally
  group by log
),
pod as (
  select
    t.log,
    s.pod,
    sum(t.flows) as flows
  from tally t
  join source s on s.id = t.source_id
  group by t.log, s.pod
),
tail as (
  select
    log,
    count(pod) as pods,
    max(flows) as most
  from pod
  group by log
)
select
  l.path as log,
  coalesce(l.declared_role, r.roles) as roles,
  l.formats,
  l.first_ms as first_seen,
  l.last_ms as last_seen,
  coalesce(g.gaps, 0) as gaps,
  g.longest as longest_gap,
  g.from_ms as gap_from,
  u.usual as usual_pause,
  l.read,
  l.lines as last_line,
  l.stored,
  l.rejected,
  l.skipped,
  case when l.read > 0 then round(1.0 * l.rejected / l.read, 4) end as rejected_share,
  case when l.read > 0 then round(1.0 * l.skipped / l.read, 4) end as skipped_share,
  l.pending,
  nullif(
    substr(
      case when k.flows >= 10 and k.ok = 0 then ', errors-only' else '' end
        || case
          when l.read = 10 and coalesce(t.pods, 0) < 2 then ', ten-line-tail'
          when t.pods >= 2 and t.most = 10 then ', ten-line-tail'
          else ''
        end
        || case when l.pending > 0 then ', unfinished' else '' end,
      3),
    '') as signs,
  l.last_read_at_ms as read_at,
  l.note
from log l
left join roles r on r.log = l.id
left join gap g on g.log = l.id
left join usual u on u.log = l.id
left join success k on k.log = l.id
left join tail t on t.log = l.id
where (:since_ms is null or l.last_ms is null or l.last_ms >= :since_ms)
  and (:until_ms is null or l.first_ms is null or l.first_ms < :until_ms)
order by l.path, l.generation, l.id;
