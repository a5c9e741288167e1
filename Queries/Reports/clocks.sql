-- title: How far the proxies' clocks are apart
-- about: One line per pair of proxies that joined hops connect: the later hop's clock minus the earlier one's, as pairs of
--    lines beyond doubt show, the way between the two proxies included. More than that way says that a clock is off: times of
--    the two logs are then not to be set against each other, durations are. A log in whole seconds seems up to a second behind.
-- column: later        text   log of the later hop
-- column: later_ip     text   address of its proxy
-- column: earlier      text   log of the hop before
-- column: earlier_ip   text   address of its proxy
-- column: skew_ms      ms     clock of the later hop ahead of the earlier one, in the last minute that shows it
-- column: least_ms     ms     the least of all minutes
-- column: most_ms      ms     the most of all minutes
-- column: pairs        number pairs of lines in that minute
-- column: first_seen   first  the first minute that shows it
-- column: last_seen    last   the last one
select
  ll.path as later,
  nullif(c.later_ip, '') as later_ip,
  el.path as earlier,
  nullif(c.earlier_ip, '') as earlier_ip,
  c.skew_ms,
  c.least_ms,
  c.most_ms,
  c.samples as pairs,
  c.first_ms as first_seen,
  c.last_ms as last_seen
from clock_skew c
left join log ll on ll.id = c.later_log
left join log el on el.id = c.earlier_log
order by abs(c.skew_ms) desc, ll.path, el.path, c.later_ip, c.earlier_ip, c.later_log, c.earlier_log;
