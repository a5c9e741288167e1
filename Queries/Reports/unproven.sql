-- title: Traffic of which nothing proves the way it took
-- about: No finding and no all-clear: the path is unknown, rests on an assumption, or the line can be read in
--    more than one way.
-- parameter: since_ms  first millisecond to include (Unix time)
-- parameter: until_ms  first millisecond no longer included
-- parameter: host      glob over the host, the host of Envoy's cluster or the address reached, lower case
-- parameter: sources   JSON list of source ids
-- parameter: path      comma list of paths
-- parameter: outcome   comma list of outcomes
-- column: why        text   not-judged, ambiguous-columns, path-unknown, assumption, exception-assumed or source-unproven
-- column: source     text   workload, pod or address
-- column: host       text   where it went
-- column: port       number port at the destination
-- column: path       text   the way it would have taken
-- column: flows      count  flows
-- column: sent       bytes  bytes towards the destination
-- column: received   bytes  bytes from the destination
-- column: first_seen first  earliest start
-- column: last_seen  last   latest start
-- column: assumption text   what would have to be true
-- column: proof      text   what would prove the way, or that there was another
with doubtful as materialized (
  select
    why,
    path,
    assumption,
    source_id,
    destination_id,
    count(*) as flows,
    sum(bytes_sent) as sent,
    sum(bytes_received) as received,
    min(started_at_ms) as first_seen,
    max(started_at_ms) as last_seen,
    max(started_at_ms + max(coalesce(duration_ms, 0), 0)) as last_end
  from unproven_flow u
  where (:since_ms is null or u.started_at_ms >= :since_ms)
    and (:until_ms is null or u.started_at_ms < :until_ms)
    and (:host is null or u.destination_id in (select id from destination_name where name glob :host))
    and (:sources is null or u.source_id in (select value from json_each(:sources)))
    and (:path is null or instr(',' || :path || ',', ',' || u.path || ',') > 0)
    and (:outcome is null or instr(',' || :outcome || ',', ',' || u.outcome || ',') > 0)
  group by why, path, assumption, source_id, destination_id
),
place as (
  select
    u.why,
    s.shown_name as source,
    d.host,
    d.port,
    u.path,
    u.assumption,
    sum(u.flows) as flows,
    sum(u.sent) as sent,
    sum(u.received) as received,
    min(u.first_seen) as first_seen,
    max(u.last_seen) as last_seen,
    max(u.last_end) as last_end,
    -- Of a client counts only what the connection shows.
    case when max(s.client_forwarded) = 0 then min(coalesce(s.client_ip, '')) end as client,
    max(coalesce(s.client_ip, '')) as last_client,
    case when min(coalesce(d.upstream_ip, '')) = max(coalesce(d.upstream_ip, '')) then max(d.upstream_ip) end as upstream
  from doubtful u
  join named_source s on s.id = u.source_id
  join destination d on d.id = u.destination_id
  group by u.why, s.shown_name, d.host, d.port, u.path, u.assumption
),
-- What was read of the logs of pods' own sidecars, whole or not. Of flows that are kept as sums alone no ends are noted.
own_lines as (
  select
    s.proxy_ip,
    min(s.first_end_ms) as first_ms,
    max(s.last_end_ms) as last_ms
  from source s
  join log l on l.id = s.log
  where s.proxy = 'envoy'
    and s.shape in ('outbound', 'outbound-forwarded', 'inbound')
    and s.first_end_ms is not null
  group by s.proxy_ip
  having max(l.tallied) = 0
)
select
  p.why,
  p.source,
  p.host,
  nullif(p.port, 0) as port,
  p.path,
  p.flows,
  p.sent,
  p.received,
  p.first_seen,
  p.last_seen,
  p.assumption,
  case
    when p.why = 'not-judged' then 'judge it: gatewatch ingest'
    when p.why = 'ambiguous-columns' then 'log in a format whose columns read in one way only: JSON'
    -- As the assumption itself says.
    when instr(p.assumption, '--role') > 0 then 'name the role of its log: gatewatch ingest --role'
    when p.why = 'path-unknown' then
      'declare ' || coalesce(p.upstream, 'the upstream addresses') || ' in the policy, or import the topology'
    when p.why = 'exception-assumed' and p.path = 'direct'
      then 'give the exception the addresses that it allows, or import the ServiceEntries of all namespaces (with a resolution that is not NONE)'
    when p.why in ('assumption', 'exception-assumed') then 'declare in the policy what is assumed'
    when coalesce(p.client, '') = '' then 'log who connected: a header proves nobody'
    when p.client = '::1' or p.client glob '127.*' then 'read the log of the hop before, in the same pod'
    when p.client <> p.last_client then 'read the logs of the clients'' own sidecars, or declare the pods (sidecar: false)'
    when exists (
        select 1
        from pod_address a
        join pod_life l on l.id = a.life
        where a.address = p.client
          and l.proxy = 'none'
          and a.lines_from_ms <= p.last_seen
          and a.lines_until_ms > p.first_seen
      )
      and exists (
        select 1
        from source s
        where s.proxy_ip = p.client
          and s.proxy = 'envoy'
          and s.shape in ('outbound', 'outbound-forwarded')
      )
      then 'a sidecar''s lines are from ' || p.client || ', where the imported topology shows a pod without a sidecar: say in the policy'
        || ' which it is (pods, sidecar: true or false)'
    -- The pod's own log was read for this time, and some line of it leaves a doubt.
    when exists (
      select 1
      from own_log o
      where o.client_ip = p.client
        and o.from_ms <= p.first_seen - 60000
        and o.until_ms >= p.last_end + 60000
    ) then 'its sidecar log was read, and leaves a doubt; if ' || p.client || ' has none, say so in the policy (pods, sidecar: false)'
    -- It was read, is whole, and proves nothing all the same: without ports, joined lines do not show that its clock is right.
    when p.path <> 'gateway'
      and exists (
        select 1
        from source s
        join log l on l.id = s.log
        where s.proxy_ip = p.client
          and s.proxy = 'envoy'
          and s.shape in ('outbound', 'outbound-forwarded')
          and s.logs_success = 1
          and s.first_end_ms <= p.first_seen - 60000
          and s.last_end_ms >= p.last_end + 60000
          and l.rejected = 0
      )
      then 'log the client''s port at the proxy: its own sidecar log was read, but nothing shows its clock; or, if '
        || p.client || ' has none, say so in the policy (pods, sidecar: false)'
    else
      'read the ' || case when p.path = 'gateway' then 'sidecar log of ' else 'log of the proxy at ' end || p.client
        -- A minute earlier and later: see judged_flow. What was read until then lacks its beginning.
        || case
          when l.first_ms > p.first_seen - 60000
            then coalesce(
              ' from before ' || strftime('%Y-%m-%dT%H:%M:%SZ', (p.first_seen - 60000) / 1000, 'unixepoch'), '')
          else ''
        end
        || case
          when l.first_ms > p.first_seen - 60000 and l.last_ms >= p.last_end + 60000 then ' on'
          else coalesce(' past ' || strftime('%Y-%m-%dT%H:%M:%SZ', (p.last_end + 60999) / 1000, 'unixepoch'), '')
        end
        || case
          when p.path = 'gateway' then ', or, if it has none, say so in the policy (pods, sidecar: false)'
          else ', or say in the policy what it is: a gateway, or a pod with sidecar: false'
        end
  end as proof
from place p
left join own_lines l on l.proxy_ip = p.client
order by p.flows desc, p.why, p.source, p.host, p.port, p.path, p.assumption;
