-- The pauses in each log: how long it held no line, by when lines are written, which is when a flow ends. Within a minute
-- nothing is looked at. `usual_ms` is the mean pause of the log, the longest left out. A gap is a silence of more than 15
-- minutes and ten times that: perhaps nothing came, perhaps the log was not read.
create view log_pause as
with busy as materialized (
  select
    s.log,
    (f.started_at_ms + coalesce(f.duration_ms, 0)) / 60000 as minute,
    min(f.started_at_ms + coalesce(f.duration_ms, 0)) as from_ms,
    max(f.started_at_ms + coalesce(f.duration_ms, 0)) as until_ms
  from flow f
  join source s on s.id = f.source
  group by s.log, (f.started_at_ms + coalesce(f.duration_ms, 0)) / 60000
),
pause as materialized (
  select
    log,
    until_ms as from_ms,
    lead(from_ms) over (partition by log order by minute) as until_ms
  from busy
),
usual as (
  select
    log,
    case when count(*) > 1 then (sum(until_ms - from_ms) - max(until_ms - from_ms)) / (count(*) - 1) end as usual_ms
  from pause
  where until_ms is not null
  group by log
)
select
  p.log,
  p.from_ms,
  p.until_ms,
  p.until_ms - p.from_ms as length_ms,
  u.usual_ms,
  p.until_ms - p.from_ms > max(900000, 10 * coalesce(u.usual_ms, 0)) as is_gap
from pause p
join usual u on u.log = p.log
where p.until_ms is not null;
