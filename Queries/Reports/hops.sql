-- title: Requests and connections hop by hop
-- about: One row per hop of each way: the lines that different proxies wrote of one request or connection, from the client
--    outwards, each with what it says itself: totals count the last one only. before_ms is what passed between the start of
--    the hop before and this one, by their own clocks; own_ms is what this hop took beyond the next one, of durations alone.
--    One row per way: gatewatch report journeys.
-- parameter: since_ms  first millisecond to include (Unix time), of any hop
-- parameter: until_ms  first millisecond no longer included
-- parameter: host      glob over the host of any hop, lower case
-- parameter: sources   JSON list of source ids, of any hop
-- parameter: path      comma list of paths, of any hop
-- parameter: outcome   comma list of outcomes, of any hop
-- parameter: limit     rows to answer with, of the earliest ways
-- table: journey hop role source host outcome duration_ms before_ms own_ms sent received log line
-- column: journey     text   the same for all hops of one way
-- column: hop         number its place in the way
-- column: started_at  first  start
-- column: role        text   of the proxy that wrote the line
-- column: source      text   workload, pod or address of the client
-- column: host        text   where it went, as this hop says
-- column: path        text   the way it left this hop
-- column: outcome     text   how it ended, as this hop says
-- column: attempt     text   repeated: this attempt failed, and the hop before made another one
-- column: duration_ms ms     of the request, or of the connection's life
-- column: before_ms   ms     after the hop before
-- column: own_ms      ms     beyond the next hop
-- column: sent        bytes  bytes towards the destination
-- column: received    bytes  bytes from the destination
-- column: log         text   path of the log when read
-- column: line        number line in the log
with recursive filtered as materialized (
  select
    j.journey,
    min(j.started_at_ms) as started_at_ms
  from judged_flow j
  where coalesce(:since_ms, :until_ms, :host, :sources, :path, :outcome) is not null
    and j.journey_place > 0
    -- Rows stand in the order they were stored: a time narrows them down without an index.
    and (:since_ms is null or j.id >= (select min(first_flow) from flow_minute where minute >= :since_ms / 60000 - 1))
    and (:until_ms is null or j.id <= (select max(last_flow) from flow_minute where minute <= :until_ms / 60000))
    and (:since_ms is null or j.started_at_ms >= :since_ms)
    and (:until_ms is null or j.started_at_ms < :until_ms)
    and (:host is null or j.destination_id in (select id from destination_name where name glob :host))
    and (:sources is null or j.source_id in (select value from json_each(:sources)))
    and (:path is null or instr(',' || :path || ',', ',' || j.path || ',') > 0)
    and (:outcome is null or instr(',' || :outcome || ',', ',' || j.outcome || ',') > 0)
  group by j.journey
),
-- First hops: joined with a later hop and with no earlier one. Blocks of flows without any are passed over.
first_hop as not materialized (
  select
    m.minute,
    f.id,
    f.started_at_ms
  from flow_minute m
  cross join hop_place hp on hp.block between m.first_flow / 1000 and m.last_flow / 1000
  cross join flow f on f.id between max(m.first_flow, hp.block * 1000) and min(m.last_flow, hp.block * 1000 + 999)
  where (
      instr(hp.places, x'02') or instr(hp.places, x'06') or instr(hp.places, x'12') or instr(hp.places, x'16')
      or instr(hp.places, x'22') or instr(hp.places, x'26') or instr(hp.places, x'32') or instr(hp.places, x'36')
    )
    and unicode(substr(hp.places, f.id % 1000 + 1, 1)) & 11 = 2
    and f.started_at_ms >= m.minute * 60000
    and f.started_at_ms < m.minute * 60000 + 60000
),
-- Without filters there is no need to look at more than the first hop of each way, minute by minute until there are enough.
passed(minute, found) as (
  select min(minute), 0
  from flow_minute
  where coalesce(:since_ms, :until_ms, :host, :sources, :path, :outcome) is null
  union all
  select
    (select min(n.minute) from flow_minute n where n.minute > p.minute),
    p.found + (select count(*) from first_hop f where f.minute = p.minute)
  from passed p
  where p.minute is not null
    and (:limit is null or p.found < :limit)
),
earliest as materialized (
  select
    substr(hj.journeys, f.id % 1000 * 8 + 1, 8) as journey,
    f.started_at_ms
  from passed p
  cross join first_hop f on f.minute = p.minute
  cross join hop_journey hj on hj.block = f.id / 1000
  order by f.started_at_ms, journey
  limit coalesce(:limit, -1)
),
-- Each way has a row at least, so that there are as many ways as rows at most.
asked as materialized (
  select journey, started_at_ms
  from (
    select f.journey, f.started_at_ms
    from filtered f
    order by f.started_at_ms, f.journey
    limit coalesce(:limit, -1)
  )
  union all
  select e.journey, e.started_at_ms
  from earliest e
),
-- The hops of one way begin within seconds of each other, and clocks differ by no more than that.
near as materialized (
  select distinct m.minute
  from asked a
  join flow_minute m on m.minute between a.started_at_ms / 60000 - 3 and a.started_at_ms / 60000 + 3
),
hop as materialized (
  select
    h.journey,
    h.way_rank,
    h.id,
    h.started_at_ms,
    h.duration_ms,
    h.source_id,
    h.destination_id,
    h.bytes_sent,
    h.bytes_received,
    h.log_id,
    h.line,
    h.role,
    h.path,
    h.outcome,
    h.is_repeated
  from near n
  cross join flow_minute m on m.minute = n.minute
  cross join flow f on f.id between m.first_flow and m.last_flow
  cross join journey_hop h on h.id = f.id
  where f.started_at_ms >= m.minute * 60000
    and f.started_at_ms < m.minute * 60000 + 60000
    and h.journey in (select journey from asked)
)
select
  lower(hex(h.journey)) as journey,
  row_number() over way as hop,
  h.started_at_ms as started_at,
  h.role,
  s.shown_name as source,
  d.host,
  h.path,
  h.outcome,
  case when h.is_repeated = 1 then 'repeated' end as attempt,
  h.duration_ms,
  h.started_at_ms - lag(h.started_at_ms) over way as before_ms,
  h.duration_ms - case
    when h.is_repeated = 1 then null
    else coalesce(lead(h.duration_ms) over way, 0)
  end as own_ms,
  h.bytes_sent as sent,
  h.bytes_received as received,
  l.path as log,
  h.line
from hop h
join named_source s on s.id = h.source_id
join destination d on d.id = h.destination_id
left join log l on l.id = h.log_id
window way as (partition by h.journey order by h.way_rank, h.started_at_ms, h.id)
order by first_value(h.started_at_ms) over way, h.journey, hop
limit coalesce(:limit, -1);
