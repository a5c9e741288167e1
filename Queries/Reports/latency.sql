-- title: How long the destinations take
-- about: Per host and path, measured at one hop: the closest to the destination, of a tunnel Squid or the SNI proxy. http is
--    the time of a request, tcp the life of a connection; the two are never mixed. Percentiles come from a histogram with an
--    error of at most 1 %; max is exact.
-- function: latency_histogram, histogram_percentile
-- parameter: since_ms  first millisecond to include (Unix time)
-- parameter: until_ms  first millisecond no longer included
-- parameter: host      glob over the host, the host of Envoy's cluster or the address reached, lower case
-- parameter: sources   JSON list of source ids: of who sent it, or of who came to the proxy
-- parameter: path      comma list of paths
-- parameter: outcome   comma list of outcomes
-- column: traffic  text   http: one request; tcp: one connection
-- column: host     text   the destination
-- column: path     text   the way taken
-- column: vantage  text   the proxy whose lines are measured
-- column: flows    count  flows with a duration
-- column: p50      ms     half took at most this long
-- column: p90      ms     nine in ten
-- column: p95      ms     19 in 20
-- column: p99      ms     99 in 100
-- column: max      ms     the longest
-- column: timeouts count  flows that a proxy gave up on
with measured as materialized (
  select
    traffic,
    host,
    path,
    vantage,
    vantage_rank,
    count(*) as flows,
    latency_histogram(duration_ms) as histogram,
    max(duration_ms) as longest,
    sum(outcome = 'timeout') as timeouts
  from latency_flow l
  where (:since_ms is null or l.started_at_ms >= :since_ms)
    and (:until_ms is null or l.started_at_ms < :until_ms)
    and (:host is null or l.destination_id in (select id from destination_name where name glob :host))
    and (:sources is null or l.sender_id in (select value from json_each(:sources)))
    and (:path is null or instr(',' || :path || ',', ',' || l.path || ',') > 0)
    and (:outcome is null or instr(',' || :outcome || ',', ',' || l.outcome || ',') > 0)
  group by traffic, host, path, vantage, vantage_rank
),
ranked as (
  select
    traffic,
    host,
    path,
    vantage,
    flows,
    histogram,
    longest,
    timeouts,
    row_number() over (partition by traffic, host, path order by vantage_rank desc, flows desc, vantage) as place
  from measured
)
select
  traffic,
  host,
  path,
  vantage,
  flows,
  histogram_percentile(histogram, 50) as p50,
  histogram_percentile(histogram, 90) as p90,
  histogram_percentile(histogram, 95) as p95,
  histogram_percentile(histogram, 99) as p99,
  longest as max,
  timeouts
from ranked
where place = 1
order by traffic, flows desc, host, path;
