-- title: Lines that nothing understood
-- about: One line per reason and log, with the first place and text. All are counted; a bounded number keep
--    their text.
-- column: reason text   why it was rejected
-- column: log    text   path when last read
-- column: lines  count  lines rejected
-- column: line   number the first one kept
-- column: detail text   what and where
-- column: text   text   the line, cut at 200 characters
with first_kept as (
  select log, reason, min(line) as line, min(id) as id
  from rejected_line
  group by log, reason
)
select
  c.name as reason,
  l.path as log,
  c.count as lines,
  r.line,
  r.detail,
  substr(r.text, 1, 200) as text
from line_count c
join log l on l.id = c.log
left join first_kept f on f.log = c.log and f.reason = c.name
left join rejected_line r on r.id = f.id
where c.what = 'rejected'
order by c.count desc, c.name, l.path, l.id;
