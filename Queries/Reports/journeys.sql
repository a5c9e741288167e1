-- title: Requests and connections over all their hops
-- about: One row per way of a request or connection that several proxies logged, in the order of their starts. What was joined
--    with nothing is not here: blocked, failed and hosts count everything, each way once at its last hop. Where it went and
--    how it ended is what that hop saw; the hops before a refusal or a failure may say ok. Where the time went is told by
--    differences of durations, which need no clocks that agree: mesh_ms is what the first hop took beyond the next one (and
--    beyond attempts that were repeated), gateway_ms what the hops between took beyond theirs, and a last one that refused;
--    external_ms is the last hop's whole duration: the destination, with that proxy's own share (its line may tell them
--    apart: gatewatch explain). A part that cannot be told is empty: HTTP requests and lives of connections are never set
--    against each other. A chain names each hop's role, duration and bytes sent/received. Hop by hop: gatewatch report hops.
-- parameter: since_ms  first millisecond to include (Unix time), of any hop
-- parameter: until_ms  first millisecond no longer included
-- parameter: host      glob over the host of any hop, lower case
-- parameter: sources   JSON list of source ids, of any hop
-- parameter: path      comma list of paths, of any hop
-- parameter: outcome   comma list of outcomes, of any hop
-- parameter: limit     ways to answer with, the earliest
-- table: started_at source host outcome way duration_ms mesh_ms retried_ms gateway_ms external_ms sent received bypass
-- column: journey     text   the same for all hops of one way
-- column: started_at  first  start at the first hop
-- column: source      text   workload, pod or address of the client
-- column: host        text   where it went, as the last hop says
-- column: port        number port at the destination, as the last hop says
-- column: traffic     text   http: of one request; tcp: of one connection's life
-- column: way         text   roles of the proxies, from the client outwards
-- column: path        text   the way it left the last hop
-- column: outcome     text   how it ended: at the last hop, or where that says ok, at the first hop that does not
-- column: reason      text   the reason of that outcome
-- column: bypass      text   kind of bypass that one of the hops is
-- column: hops        number lines that belong to it
-- column: attempts    number attempts that the last proxy saw, more than 1 where some were repeated
-- column: duration_ms ms     of the whole, at the first hop
-- column: mesh_ms     ms     in the first proxy and on the way to the next
-- column: retried_ms  ms     in attempts that were repeated
-- column: gateway_ms  ms     in the proxies between the first and the last
-- column: external_ms ms     at the last hop: the destination, with that proxy's own share
-- column: sent        bytes  bytes towards the destination, at the first hop
-- column: received    bytes  bytes from the destination, at the first hop
-- column: chain       text   role, duration, bytes sent/received of each hop
-- column: log         text   log of the first hop
-- column: line        number line of the first hop
with recursive filtered as materialized (
  select
    j.journey,
    min(j.started_at_ms) as started_at_ms
  from judged_flow j
  where coalesce(:since_ms, :until_ms, :host, :sources, :path, :outcome) is not null
    -- Rows stand in the order they were stored: a time narrows them down without an index.
    and (:since_ms is null or j.id >= (select min(first_flow) from flow_minute where minute >= :since_ms / 60000 - 1))
    and (:until_ms is null or j.id <= (select max(last_flow) from flow_minute where minute <= :until_ms / 60000))
    and (:since_ms is null or j.started_at_ms >= :since_ms)
    and (:until_ms is null or j.started_at_ms < :until_ms)
    and (:host is null or j.destination_id in (select id from destination_name where name glob :host))
    and (:sources is null or j.source_id in (select value from json_each(:sources)))
    and (:path is null or instr(',' || :path || ',', ',' || j.path || ',') > 0)
    and (:outcome is null or instr(',' || :outcome || ',', ',' || j.outcome || ',') > 0)
    and j.journey_place > 0
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
    h.reason,
    h.bypass,
    h.is_repeated,
    d.traffic,
    row_number() over way as place,
    lead(h.duration_ms) over way as next_duration_ms,
    lead(d.traffic) over way as next_traffic,
    h.role
      || case when h.is_repeated = 1 then ' (repeated)' else '' end
      || case
        when h.is_claimed = 0 then ''
        when h.role = 'forward-proxy' then ' (by bytes or times alone)'
        else ' (by its request id alone)'
      end
      || case when h.is_past_gateway = 1 then ' (straight from a sidecar)' else '' end
      || coalesce(' ' || h.duration_ms || ' ms', '')
      || ' ' || coalesce(h.bytes_sent, '-') || '/' || coalesce(h.bytes_received, '-') || ' B' as words
  from near n
  cross join flow_minute m on m.minute = n.minute
  cross join flow f on f.id between m.first_flow and m.last_flow
  cross join journey_hop h on h.id = f.id
  cross join destination d on d.id = h.destination_id
  where f.started_at_ms >= m.minute * 60000
    and f.started_at_ms < m.minute * 60000 + 60000
    and h.journey in (select journey from asked)
  window way as (partition by h.journey order by h.way_rank, h.started_at_ms, h.id)
),
-- What each hop took beyond the next one; durations are whole milliseconds, so that a difference below zero is none.
measured as (
  select
    h.journey,
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
    h.reason,
    h.traffic,
    h.place,
    h.words,
    count(*) over all_of_it as hops,
    sum(h.is_repeated) over all_of_it as repeated,
    sum(case when h.is_repeated = 1 then h.duration_ms end) over all_of_it as retried_ms,
    max(case when h.is_repeated = 0 and h.place > 1 then h.place end) over all_of_it as answering,
    min(case when h.is_repeated = 0 and h.place > 1 then h.place end) over all_of_it as second,
    min(case when h.is_repeated = 0 and h.outcome <> 'ok' then h.place end) over all_of_it as odd_place,
    max(h.bypass) over all_of_it as bypass,
    sum(case
      when h.place = 1 or h.is_repeated = 1 or h.next_traffic is null then null
      when h.next_traffic = h.traffic then max(h.duration_ms - h.next_duration_ms, 0)
    end) over all_of_it as between_ms,
    group_concat(h.words, ' > ') over (
      partition by h.journey order by h.place rows between unbounded preceding and unbounded following) as chain,
    group_concat(h.role, ' > ') over (
      partition by h.journey order by h.place rows between unbounded preceding and unbounded following) as way
  from hop h
  window all_of_it as (partition by h.journey)
)
select
  lower(hex(f.journey)) as journey,
  f.started_at_ms as started_at,
  s.shown_name as source,
  coalesce(dl.host, df.host) as host,
  coalesce(nullif(dl.port, 0), nullif(df.port, 0)) as port,
  f.traffic,
  f.way,
  z.path,
  case when z.outcome <> 'ok' then z.outcome else coalesce(o.outcome, z.outcome) end as outcome,
  case when z.outcome <> 'ok' then z.reason else coalesce(o.reason, z.reason) end as reason,
  f.bypass,
  f.hops,
  f.repeated + 1 as attempts,
  f.duration_ms,
  case when n.traffic = f.traffic then max(f.duration_ms - coalesce(f.retried_ms, 0) - n.duration_ms, 0) end as mesh_ms,
  f.retried_ms,
  case
    when z.path = 'none' and z.place > 1 then coalesce(f.between_ms, 0) + z.duration_ms
    else f.between_ms
  end as gateway_ms,
  case when z.path not in ('none', 'internal') then z.duration_ms end as external_ms,
  f.bytes_sent as sent,
  f.bytes_received as received,
  f.chain,
  l.path as log,
  f.line
from measured f
join named_source s on s.id = f.source_id
join destination df on df.id = f.destination_id
-- The hop that gave the answer, the second one, and the first one that ended otherwise than well.
left join measured z on z.journey = f.journey and z.place = coalesce(f.answering, f.hops)
left join measured n on n.journey = f.journey and n.place = f.second
left join measured o on o.journey = f.journey and o.place = f.odd_place
left join destination dl on dl.id = z.destination_id
left join log l on l.id = f.log_id
where f.place = 1
order by f.started_at_ms, f.journey;
