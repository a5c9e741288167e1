-- title: Requests and connections hop by hop
-- about: One row per hop of each way: the lines that different proxies wrote of one request or connection, from the client
--    outwards. before_ms is what passed between the start of the hop before and this one, by their own clocks; own_ms is
--    what this hop took beyond the next one, of durations alone. One row per way: gatewatch report journeys.
-- parameter: since_ms  first millisecond to include (Unix time), of any hop
-- parameter: until_ms  first millisecond no longer included
-- parameter: host      glob over the host of any hop, lower case
-- parameter: sources   JSON list of source ids, of any hop
-- parameter: path      comma list of paths, of any hop
-- parameter: outcome   comma list of outcomes, of any hop
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
with asked as materialized (
  select distinct j.journey
  from judged_flow j
  where j.journey_place > 0
    -- Rows stand in the order they were stored: a time narrows them down without an index.
    and (:since_ms is null or j.id >= (select min(first_flow) from flow_minute where minute >= :since_ms / 60000 - 1))
    and (:until_ms is null or j.id <= (select max(last_flow) from flow_minute where minute <= :until_ms / 60000))
    and (:since_ms is null or j.started_at_ms >= :since_ms)
    and (:until_ms is null or j.started_at_ms < :until_ms)
    and (:host is null or j.destination_id in (select id from destination where host glob :host))
    and (:sources is null or j.source_id in (select value from json_each(:sources)))
    and (:path is null or instr(',' || :path || ',', ',' || j.path || ',') > 0)
    and (:outcome is null or instr(',' || :outcome || ',', ',' || j.outcome || ',') > 0)
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
  from journey_hop h
  where h.journey in (select journey from asked)
)
select
  lower(hex(h.journey)) as journey,
  row_number() over way as hop,
  h.started_at_ms as started_at,
  h.role,
  coalesce(s.name, s.pod, case when s.client_forwarded = 0 then s.client_ip end, s.proxy_ip, s.client_ip, '?') as source,
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
join source s on s.id = h.source_id
join destination d on d.id = h.destination_id
left join log l on l.id = h.log_id
window way as (partition by h.journey order by h.way_rank, h.started_at_ms, h.id)
order by min(h.started_at_ms) over (partition by h.journey), h.journey, hop;
