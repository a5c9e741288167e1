-- title: The flows themselves
-- about: Every stored flow with its verdict, in the order of storing; also earlier hops and second views,
--    which totals leave out. Outcome and host are what that line says: a sidecar's line of a tunnel says ok though
--    Squid refused it. How whole ways ended: gatewatch report journeys.
-- table: started_at source source_ip host port path outcome bypass reason status duration_ms method url_path id
-- parameter: since_ms  first millisecond to include (Unix time)
-- parameter: until_ms  first millisecond no longer included
-- parameter: host      glob over the host, the host of Envoy's cluster or the address reached, lower case
-- parameter: sources   JSON list of source ids
-- parameter: path      comma list of paths
-- parameter: outcome   comma list of outcomes
-- parameter: request   request hash, as stored
-- parameter: limit     flows to answer with, the first ones
-- column: id               number number of the flow
-- column: started_at       text   start, ISO 8601, UTC
-- column: started_at_ms    number start, Unix milliseconds
-- column: duration_ms      ms     milliseconds
-- column: proxy            text   envoy, nginx-stream, nginx-http or squid
-- column: role             text   the proxy's place
-- column: log              text   path of the log when read
-- column: line             number line in the log, from 1
-- column: source_ip        text   client as logged
-- column: source_port      number port of the client
-- column: source           text   workload or pod
-- column: host             text   the name to report
-- column: port             number port at the destination
-- column: destination_ip   text   where the bytes went
-- column: protocol         text   as logged
-- column: method           text   HTTP method
-- column: url_path         text   path without query, templated
-- column: status           number HTTP status
-- column: path             text   the way taken
-- column: outcome          text   how it ended
-- column: reason           text   why it ended so
-- column: bypass           text   how it went around the gateway
-- column: bytes_sent       bytes  towards the destination
-- column: bytes_received   bytes  from the destination
-- column: upstream_cluster text   Envoy's cluster
-- column: route_name       text   Envoy's route
-- column: response_flags   text   as logged
-- column: request_id       text   the id, or its hash in hexadecimal
-- column: journey          text   the way of which it is a hop
-- column: warnings         text   comma list
select
  f.id,
  f.started_at,
  f.started_at_ms,
  f.duration_ms,
  f.proxy,
  f.role,
  f.log,
  f.line,
  f.source_ip,
  f.source_port,
  f.source,
  f.host,
  f.port,
  f.destination_ip,
  f.protocol,
  f.method,
  f.url_path,
  f.status,
  f.path,
  f.outcome,
  f.reason,
  f.bypass,
  f.bytes_sent,
  f.bytes_received,
  f.upstream_cluster,
  f.route_name,
  f.response_flags,
  f.request_id,
  f.journey,
  f.warnings
from flow w
join flows f on f.id = w.id
where (:since_ms is null or w.started_at_ms >= :since_ms)
  and (:until_ms is null or w.started_at_ms < :until_ms)
  and (:host is null or w.destination in (select id from destination_name where name glob :host))
  and (:sources is null or w.source in (select value from json_each(:sources)))
  and (:path is null or instr(',' || :path || ',', ',' || f.path || ',') > 0)
  and (:outcome is null or instr(',' || :outcome || ',', ',' || f.outcome || ',') > 0)
  and (:request is null or w.request_hash = :request)
order by w.id
limit coalesce(:limit, -1);
