-- title: Which logs were read, for which time
-- about: One line per log, the base of every other answer: what no log shows, no report can show. lines =
--    stored + rejected + skipped.
-- rows: all
-- parameter: since_ms  first millisecond to include (Unix time)
-- parameter: until_ms  first millisecond no longer included
-- column: log        text   path when last read
-- column: roles      text   roles of the proxies that wrote it, or the declared one
-- column: formats    text   formats met
-- column: first_seen first  earliest start of a flow
-- column: last_seen  last   latest end of a flow
-- column: read       count  lines read
-- column: stored     count  lines stored
-- column: rejected   count  lines that nothing understood
-- column: skipped    count  lines recognised as something else
-- column: pending    bytes  bytes of an unfinished last line
-- column: read_at    last   when the log was last read
-- column: note       text   truncated, rewritten, ...
with role_of_log as (
  select distinct log_id as log, role
  from judged_flow
),
roles as (
  select log, group_concat(role, ', ') as roles
  from (select log, role from role_of_log order by log, role)
  group by log
)
select
  l.path as log,
  coalesce(l.declared_role, r.roles) as roles,
  l.formats,
  l.first_ms as first_seen,
  l.last_ms as last_seen,
  l.read,
  l.stored,
  l.rejected,
  l.skipped,
  l.pending,
  l.last_read_at_ms as read_at,
  l.note
from log l
left join roles r on r.log = l.id
where (:since_ms is null or l.last_ms is null or l.last_ms >= :since_ms)
  and (:until_ms is null or l.first_ms is null or l.first_ms < :until_ms)
order by l.path, l.generation, l.id;
