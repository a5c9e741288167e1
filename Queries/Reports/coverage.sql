-- title: Which logs were read, for which time
-- about: One line per log, the base of every other answer: what no log shows, no report can show. read =
--    stored + rejected + skipped. A gap is a silence of more than 15 minutes and ten times the log's usual pause between
--    two minutes with lines, the longest left out. Signs are no facts: errors-only, no line of ten or more tells of a success,
--    as where a filter logs failures alone; ten-line-tail, as "kubectl logs -l" prints without --tail; unfinished, the last
--    line has no end yet; unread-cut, unread-garbage, unread-error, unread-stopped and unread-unopened, the log was not read to its end,
--    because its gzip data ends in the middle or has something else behind it, it is damaged, a signal ended it, or it could not be
--    opened; unread-tail, it was rotated away, cut or written over after it was read last, and no copy with the rest was read;
--    nul-holes, blocks of NUL bytes inside of it stand where lines were, or will be;
--    rotated-log-missing, an older or newer part of a rotated log was read, and this one's neighbour was not; earlier-run-missing, a container's log of before its restart was not read; pod-lived-before and pod-lived-on, there
--    is evidence that a pod lived for longer than its lines in this log tell (gatewatch report unread). Clocks compare the starts of joined
--    hops, the way between them included: gatewatch report clocks.
--    Behind the logs stand those that are missing: of a gateway or proxy that others handed traffic on to (next-hop-not-read;
--    127.0.0.1 is a proxy in the pod, or beside the log, that is named),
--    and of a client that came to one (no-sidecar-log). The same sign at a log says that something was handed on to its proxy
--    for which it begins too late or ends too early; next-hop-missing, that none of its lines is joined to something that was.
--    gatewatch report missing-hops looks closer.
-- rows: all
-- table: log roles formats first_seen last_seen unmet gaps longest_gap gap_from read rejected_share skipped_share clock_skew signs note
-- parameter: since_ms  first millisecond to include (Unix time)
-- parameter: until_ms  first millisecond no longer included
-- column: log            text   path when last read
-- column: roles          text   roles of the proxies that wrote it, or the declared one
-- column: formats        text   formats met
-- column: first_seen     first  earliest start of a flow
-- column: last_seen      last   latest end of a flow
-- column: by_role        text   per role: flows, earliest and latest start (UTC)
-- column: unmet          count  flows handed on to its proxy, or of that client, that are joined with no line of it
-- column: gaps           number silences much longer than usual
-- column: longest_gap    ms     the longest of them
-- column: gap_from       time   the last line before it
-- column: usual_pause    ms     mean time between minutes with lines, without the longest
-- column: read           count  lines read
-- column: last_line      number number of the last line read
-- column: stored         count  lines stored
-- column: rejected       count  lines that nothing understood
-- column: skipped        count  lines recognised as something else
-- column: rejected_share share  share of the lines read
-- column: skipped_share  share  share of the lines read
-- column: pending        bytes  bytes of an unfinished last line
-- column: clock_skew     ms     its clock ahead of the log that clock_against names, where most pairs of hops show it
-- column: clock_against  text   that log
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
    count(*) as flows,
    min(started_at_ms) as first_ms,
    max(started_at_ms) as last_ms
  from judged_flow
  where (:since_ms is null or started_at_ms >= :since_ms)
    and (:until_ms is null or started_at_ms < :until_ms)
  group by source_id, role, outcome
),
role_of_log as (
  select log, role, sum(flows) as flows, min(first_ms) as first_ms, max(last_ms) as last_ms
  from tally
  group by log, role
),
roles as (
  select
    log,
    group_concat(role, ', ') as roles,
    group_concat(
      role || ' ' || flows || ', ' || strftime('%Y-%m-%dT%H:%M:%SZ', first_ms / 1000, 'unixepoch') || ' to '
        || strftime('%Y-%m-%dT%H:%M:%SZ', last_ms / 1000, 'unixepoch'),
      '; ') as by_role
  from (select log, role, flows, first_ms, last_ms from role_of_log order by log, role)
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
    coalesce(s.pod, s.proxy_ip) as pod,
    sum(t.flows) as flows
  from tally t
  join source s on s.id = t.source_id
  group by t.log, coalesce(s.pod, s.proxy_ip)
),
tail as (
  select
    log,
    count(pod) as pods,
    max(flows) as most
  from pod
  group by log
),
-- BASE.3, BASE.3.gz: the third part of a rotated log; BASE is the first. FOLDER/3.log: what a container wrote after its third restart.
plain as (
  select
    id,
    case when path like '%.gz' then substr(path, 1, length(path) - 3) else path end as path
  from log
),
stemmed as (
  select
    id,
    path,
    rtrim(path, '0123456789') as stem,
    rtrim(substr(path, 1, length(path) - 4), '0123456789') as folder
  from plain
),
part as (
  select
    id,
    case
      when stem like '%.' and length(path) - length(stem) between 1 and 3 then substr(stem, 1, length(stem) - 1)
      else path
    end as base,
    case
      when stem like '%.' and length(path) - length(stem) between 1 and 3
        then cast(substr(path, length(stem) + 1) as integer)
      else 0
    end as place,
    case
      when path like '%/%.log' and folder like '%/' and length(path) - length(folder) between 5 and 9 then folder
    end as folder,
    case when path like '%.log' then cast(substr(path, length(folder) + 1) as integer) end as run
  from stemmed
),
missing as (
  select
    p.id,
    case
      when p.place > 0 and not exists (select 1 from part n where n.base = p.base and n.place = p.place - 1)
        then ', rotated-log-missing'
      else ''
    end
      || case
        when p.folder is not null and p.run > 0
          and not exists (select 1 from part n where n.folder = p.folder and n.run = p.run - 1)
          and not exists (select 1 from plain n where n.path glob p.folder || (p.run - 1) || '.log.*')
          then ', earlier-run-missing'
        else ''
      end as signs
  from part p
),
silent as materialized (
  -- A log behind a hole begins too late, as one does before which nothing was read.
  select log, max(side <> 'after') as is_before, max(side = 'after') as is_after
  from silent_sidecar
  group by log
),
-- With a single max, SQLite takes the other columns from its row: the neighbour with the most pairs.
clock as (
  select log, max(samples) as samples, skew_ms, against
  from (
    select later_log as log, skew_ms, samples, earlier_log as against
    from clock_skew
    where later_log <> earlier_log
    union all
    select earlier_log, -skew_ms, samples, later_log
    from clock_skew
    where later_log <> earlier_log
  )
  group by log
),
-- What was handed on to a gateway or proxy, and is joined with no line of it. Each pod has a loopback of its own, which only the
-- log tells apart that speaks of it.
unmet as materialized (
  select
    d.upstream_ip as address,
    case when d.upstream_ip = '::1' or d.upstream_ip glob '127.*' then s.log end as beside,
    case when d.upstream_ip = '::1' or d.upstream_ip glob '127.*' then coalesce(s.namespace, '') || '/' || s.pod end as pod,
    j.next_hop,
    j.next_hop_gap as kind,
    count(*) as flows,
    min(j.started_at_ms) as first_ms,
    max(j.started_at_ms) as last_ms
  from judged_flow j
  join source s on s.id = j.source_id
  join destination d on d.id = j.destination_id
  where j.next_hop_gap is not null
    and (:since_ms is null or j.started_at_ms >= :since_ms)
    and (:until_ms is null or j.started_at_ms < :until_ms)
  group by 1, 2, 3, j.next_hop, j.next_hop_gap
),
next_log as materialized (
  select distinct log, role, address, pod
  from hop_log
),
unmet_at as materialized (
  select
    u.address,
    u.beside,
    u.pod,
    u.next_hop,
    u.kind,
    u.flows,
    u.first_ms,
    u.last_ms,
    (
      select max(h.log)
      from next_log h
      where h.role = u.next_hop
        and case
          when u.beside is null then h.address is null or h.address = u.address
          else h.pod is null or u.pod is null or h.pod = u.pod
        end
    ) as log
  from unmet u
),
unmet_log as (
  select
    log,
    sum(flows) as flows,
    max(kind = 'next-hop-missing') as is_missing,
    max(kind = 'next-hop-not-read') as is_not_read
  from unmet_at
  where log is not null
  group by log
),
-- Who came to a gateway or a proxy, with nothing of its own to account for it; see Reports/unlogged.sql.
seen as materialized (
  select
    source_id,
    role,
    count(*) as flows,
    min(started_at_ms) as first_ms,
    max(started_at_ms) as last_ms
  from judged_flow
  where duplicate_view = 0
    and instr(',' || verdict_warnings || ',', ',source-unproven,') > 0
    and (:since_ms is null or started_at_ms >= :since_ms)
    and (:until_ms is null or started_at_ms < :until_ms)
  group by source_id, role
),
unlogged as (
  select
    client,
    group_concat(role, ', ') as roles,
    sum(flows) as flows,
    min(first_ms) as first_ms,
    max(last_ms) as last_ms
  from (
    select
      coalesce(s.name, s.client_ip, '?') as client,
      v.role,
      sum(v.flows) as flows,
      min(v.first_ms) as first_ms,
      max(v.last_ms) as last_ms
    from seen v
    join source s on s.id = v.source_id
    where v.source_id in (select id from unlogged_source)
    group by coalesce(s.name, s.client_ip, '?'), v.role
    order by client, v.role
  )
  group by client
),
log_row as (
  select
    1 as part,
    l.path as log,
    l.generation,
    l.id,
    coalesce(l.declared_role, r.roles) as roles,
    l.formats,
    l.first_ms as first_seen,
    l.last_ms as last_seen,
    r.by_role,
    x.flows as unmet,
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
    c.skew_ms as clock_skew,
    ca.path as clock_against,
    nullif(
      substr(
        case when k.flows >= 10 and k.ok = 0 then ', errors-only' else '' end
          || case
            when l.read = 10 and coalesce(t.pods, 0) < 2 then ', ten-line-tail'
            when t.pods >= 2 and t.most = 10 then ', ten-line-tail'
            else ''
          end
          || case when l.pending > 0 then ', unfinished' else '' end
          || coalesce(', unread-' || l.unread, '')
          || case when exists (
            select 1 from line_count n where n.log = l.id and n.what = 'skipped' and n.name = 'nul-hole'
          ) then ', nul-holes' else '' end
          || coalesce(m.signs, '')
          || case when q.is_before then ', pod-lived-before' else '' end
          || case when q.is_after then ', pod-lived-on' else '' end
          || case when x.is_missing then ', next-hop-missing' else '' end
          || case when x.is_not_read then ', next-hop-not-read' else '' end,
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
  left join missing m on m.id = l.id
  left join silent q on q.log = l.id
  left join clock c on c.log = l.id
  left join log ca on ca.id = c.against
  left join unmet_log x on x.log = l.id
  where (:since_ms is null or l.last_ms is null or l.last_ms >= :since_ms)
    and (:until_ms is null or l.first_ms is null or l.first_ms < :until_ms)
),
missing_log as (
  select
    2 as part,
    'no log of ' || coalesce(u.address, 'a ' || u.next_hop) || coalesce(' in ' || u.pod, ' beside ' || b.path, '') as log,
    u.next_hop as roles,
    u.first_ms,
    u.last_ms,
    u.flows,
    'next-hop-not-read' as signs,
    'what was handed on to it: gatewatch report missing-hops' as note
  from (
    select next_hop, address, max(beside) as beside, pod, sum(flows) as flows, min(first_ms) as first_ms, max(last_ms) as last_ms
    from unmet_at
    where log is null
    -- The pod, where it is known: its log may have been rotated.
    group by next_hop, address, coalesce(pod, beside)
  ) u
  left join log b on b.id = u.beside
  union all
  select
    3,
    'no log of ' || client,
    'sidecar',
    first_ms,
    last_ms,
    flows,
    'no-sidecar-log',
    'came to a ' || roles || ', if it has a sidecar at all: gatewatch report unlogged'
  from unlogged
)
select
  log,
  roles,
  formats,
  first_seen,
  last_seen,
  by_role,
  unmet,
  gaps,
  longest_gap,
  gap_from,
  usual_pause,
  read,
  last_line,
  stored,
  rejected,
  skipped,
  rejected_share,
  skipped_share,
  pending,
  clock_skew,
  clock_against,
  signs,
  read_at,
  note
from (
  select part, generation, id, log, roles, formats, first_seen, last_seen, by_role, unmet, gaps, longest_gap, gap_from, usual_pause, read, last_line, stored, rejected, skipped, rejected_share, skipped_share, pending, clock_skew, clock_against, signs, read_at, note
  from log_row
  union all
  select part, 0, 0, log, roles, null, first_ms, last_ms, null, flows, null, null, null, null, null, null, null, null, null, null, null, null, null, null, signs, null, note
  from missing_log
)
order by part, log, generation, id;
