-- The hops of each way: the lines that different proxies wrote of one request or connection (`ingest` joins them).
-- In the order of `way_rank`, then `started_at_ms`, then `id` they are the way from the client outwards: the first hop,
-- attempts that were repeated, the hops between, the last one. An earlier hop may be logged at the same moment as the next
-- one, or later where clocks differ: therefore what the join proved decides, and the start only between equals.
create view journey_hop as
select
  j.journey,
  case
    when j.journey_place & 4 then 1
    when j.journey_place & 9 = 0 then 0
    when j.journey_place & 2 then 2
    else 3
  end as way_rank,
  j.id,
  j.started_at_ms,
  j.duration_ms,
  j.source_id,
  j.destination_id,
  j.outcome_id,
  j.bytes_sent,
  j.bytes_received,
  j.log_id,
  j.line,
  j.role,
  j.path,
  j.outcome,
  j.reason,
  j.bypass,
  -- An attempt that failed, and that the proxy before repeated.
  j.journey_place & 4 <> 0 as is_repeated,
  -- The hop before was found by a request id alone, which a client can write, or, at a forward proxy that logs no address of
  -- its own, by bytes and times alone, where the client's other lines do not lead to the same place: it proves nothing.
  j.journey_place & 9 = 8 and j.proxy <> 'nginx-stream' as is_claimed,
  -- The hop before an SNI proxy is a sidecar, where a gateway should be: nginx stream logs no request ids, so it is the connection
  -- that shows it.
  j.journey_place & 9 = 8 and j.proxy = 'nginx-stream' as is_past_gateway
from judged_flow j
where j.journey_place > 0;
