-- Each way of a request or connection over several proxies as one row, by what `report journeys` says of it. The first hop tells who
-- sent it, and when; the last one where it went; the outcome is the last hop's, or where that says ok, that of the first hop
-- that does not: what only the last proxy sees, as an unknown name or a refusal of Squid, is the end of the way.
--
-- Flows that were joined with no other have no row: whoever counts everything counts counted_flow, in which each way has one
-- flow, `last_flow` in most cases. `source_proven` is 1 where the connection shows each hop before, and 0 where a request id
-- alone joined one of them, which a client can write.
--
-- A question about a few ways looks at all of them first, some 10 seconds for each million flows: whatever narrows a view of
-- windows comes too late. `report journeys` and `report hops` know better where to look.
create view journey_flow as
with hop as materialized (
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
    h.is_claimed,
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
  from journey_hop h
  cross join destination d on d.id = h.destination_id
  where h.journey is not null
  window way as (partition by h.journey order by h.way_rank, h.started_at_ms, h.id)
),
measured as materialized (
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
    count(*) over all_of_it as hops,
    sum(h.is_repeated) over all_of_it as repeated,
    max(h.is_claimed) over all_of_it as claimed,
    sum(case when h.is_repeated = 1 then h.duration_ms end) over all_of_it as retried_ms,
    max(case when h.is_repeated = 0 and h.place > 1 then h.place end) over all_of_it as answering,
    min(case when h.is_repeated = 0 and h.place > 1 then h.place end) over all_of_it as second,
    min(case when h.is_repeated = 0 and h.outcome <> 'ok' then h.place end) over all_of_it as odd_place,
    max(h.bypass) over all_of_it as bypass,
    sum(case
      when h.place = 1 or h.is_repeated = 1 or h.next_traffic is null then null
      when h.next_traffic = h.traffic then max(h.duration_ms - h.next_duration_ms, 0)
    end) over all_of_it as between_ms,
    group_concat(h.words, ' > ') over in_order as chain,
    group_concat(h.role, ' > ') over in_order as way
  from hop h
  window
    all_of_it as (partition by h.journey),
    in_order as (partition by h.journey order by h.place rows between unbounded preceding and unbounded following)
)
select
  w.journey,
  w.started_at_ms,
  w.started_at_ms / 1000 as started_at_epoch,
  w.id as first_flow,
  z.id as last_flow,
  w.source_id,
  w.claimed = 0 as source_proven,
  z.destination_id,
  coalesce(dl.host, df.host) as host,
  coalesce(nullif(dl.port, 0), nullif(df.port, 0)) as port,
  w.traffic,
  w.way,
  w.role as first_role,
  z.role as last_role,
  z.path,
  case when z.outcome <> 'ok' then z.outcome else coalesce(o.outcome, z.outcome) end as outcome,
  case when z.outcome <> 'ok' then z.reason else coalesce(o.reason, z.reason) end as reason,
  w.bypass,
  w.hops,
  w.repeated + 1 as attempts,
  w.duration_ms,
  case when n.traffic = w.traffic then max(w.duration_ms - coalesce(w.retried_ms, 0) - n.duration_ms, 0) end as mesh_ms,
  w.retried_ms,
  case
    when z.path = 'none' and z.place > 1 then coalesce(w.between_ms, 0) + z.duration_ms
    else w.between_ms
  end as gateway_ms,
  case when z.path not in ('none', 'internal') then z.duration_ms end as external_ms,
  w.bytes_sent,
  w.bytes_received,
  w.chain,
  w.log_id,
  w.line
from measured w
join destination df on df.id = w.destination_id
left join measured z on z.journey = w.journey and z.place = coalesce(w.answering, w.hops)
left join measured n on n.journey = w.journey and n.place = w.second
left join measured o on o.journey = w.journey and o.place = w.odd_place
left join destination dl on dl.id = z.destination_id
where w.place = 1;
