-- Every flow with its verdict, by ids: the one place where facts and judgement meet. The other views and the reports
-- start here and join what they show. Every look-up is by row id; where single flows are listed, those that no
-- chosen column needs are left out (SQLite keeps them under an aggregate: group what you need of this view first, and
-- join names to the groups).
--
-- A flow whose source or destination has no class yet (the reading was stopped before the judging) has role, path and
-- outcome 'unknown': it is listed by unproven_flow and is nobody's proof.
create view judged_flow as
select
  f.id,
  f.started_at_ms,
  f.duration_ms,
  f.source as source_id,
  -- The source with who sent it, where another proxy stands between; the view sender names both.
  coalesce((select rf.source from relayed_flow rf where rf.flow = f.id), f.source) as sender_id,
  f.destination as destination_id,
  f.outcome as outcome_id,
  f.path_template as path_template_id,
  ((f.ports + 2147483648) >> 16) & 65535 as source_port,
  (f.ports + 2147483648) & 65535 as local_port,
  f.sent as bytes_sent,
  f.received as bytes_received,
  f.request_hash,
  f.line,
  s.log as log_id,
  s.proxy,
  coalesce(rv.role, 'unknown') as role,
  -- A blocked or unsent flow has path none, whatever way it would have taken; a line that can be read in more than one
  -- way proves no path.
  case
    when ov.left_hop = 0 then 'none'
    when ov.never_clears = 1 and rv.bypass is null then 'unknown'
    else coalesce(rv.path, 'unknown')
  end as path,
  coalesce(ov.result, 'unknown') as outcome,
  coalesce(ov.reason, br.word) as reason,
  case when ov.left_hop = 0 then null when br.id is not null then rv.claim else rv.bypass end as bypass,
  -- What a proxy's client is proven to have done, and which hop was bypassed.
  br.id as bypass_reason_id,
  br.word as bypass_reason,
  case
    when br.id is not null then rv.claim_around
    when ov.left_hop = 0 or rv.bypass is null then null
    else 'gateway'
  end as around,
  -- The policy's exception that allows this bypass; a doubtful line is allowed by none.
  case when ov.left_hop = 0 or ov.never_clears = 1 then null else rv.exception end as exception_id,
  case
    when ov.left_hop = 0 then 'info'
    when rv.exception is not null and ov.never_clears = 0 then 'info'
    when br.id is not null then rv.claim_severity
    else coalesce(rv.severity, 'info')
  end as severity,
  rv.rule as rule,
  -- 64: by its bytes and times alone a sidecar's connection is the hop before a line of a forward proxy that does not log where it
  -- is; only the policy or a guess says whether it went there.
  case
    when ov.left_hop = 0 then null
    when rv.assumption is null and rv.bypass is null and rv.role = 'sidecar' and rv.path <> 'proxy'
      and unicode(substr(hp.places, f.id % 1000 + 1, 1)) & 64
      then 'a connection to an address that nobody calls a forward proxy is taken for the way to one by its bytes and times alone'
    else rv.assumption
  end as assumption,
  -- A source is proven by the connection itself: by the hop before (1), or because the client's sidecar logged it (32). Not where an
  -- inventory says that the client has none: one of the two is wrong, and a workload may print lines that are as true as it likes. A
  -- proven bypass is no open question, and what was never sent raises none.
  case
    when br.id is not null or ov.left_hop = 0
      or (rv.claim_reason is null and unicode(substr(hp.places, f.id % 1000 + 1, 1)) & 33)
      then nullif(trim(replace(',' || rv.warnings || ',', ',source-unproven,', ','), ','), '')
    else rv.warnings
  end as verdict_warnings,
  coalesce(ov.duplicate_view, 0) as duplicate_view,
  coalesce(ov.never_clears, 0) as never_clears,
  -- 1 when this is the line to count: no second view of a flow, no attempt that was repeated, and no hop whose next hop
  -- is known; where it is not, the next hop's log was not read for this time, or it was never reached. A line that can be read in
  -- more than one way always counts: that a next hop tells of it is only one of its readings.
  case
    when ov.duplicate_view = 1 then 0
    when ov.never_clears = 1 then 1
    when unicode(substr(hp.places, f.id % 1000 + 1, 1)) & 6
      and not (unicode(substr(hp.places, f.id % 1000 + 1, 1)) & 64 and rv.role = 'sidecar' and rv.path <> 'proxy')
      then 0
    when ov.left_hop = 0 or ov.is_unconnected = 1 or rv.next_hop_from_ms is null then 1
    when f.started_at_ms not between rv.next_hop_from_ms and rv.next_hop_until_ms then 1
    -- What lies between two logs of the next hop.
    when rv.next_hop_holes is not null and exists (
      select 1
      from next_hop_hole h
      where h.id >= rv.next_hop_holes * 64
        and h.id < rv.next_hop_holes * 64 + 64
        and f.started_at_ms between h.from_ms and h.until_ms
    ) then 1
    else 0
  end as counted,
  rv.next_hop,
  -- What is odd where a gateway or proxy received this, and no line of it is joined: next-hop-not-read, its log does not
  -- reach over this time; next-hop-missing, it does. NULL where nothing was sent, where the line itself says that no
  -- connection came about, and where it can be read in more than one way. missing_hop_flow looks closer.
  case
    when rv.next_hop is null or rv.next_hop = 'inbound' or coalesce(ov.left_hop, 0) = 0 or ov.duplicate_view = 1
      or ov.never_clears = 1 or ov.is_unconnected = 1 or ov.result = 'noise' or ov.reason = 'retries-exhausted'
      then null
    when unicode(substr(hp.places, f.id % 1000 + 1, 1)) & 6 then null
    when f.started_at_ms not between coalesce(rv.next_hop_from_ms, 0) and coalesce(rv.next_hop_until_ms, -1)
      then 'next-hop-not-read'
    when rv.next_hop_holes is not null and exists (
      select 1
      from next_hop_hole h
      where h.id >= rv.next_hop_holes * 64
        and h.id < rv.next_hop_holes * 64 + 64
        and f.started_at_ms between h.from_ms and h.until_ms
    ) then 'next-hop-not-read'
    -- Where flows are kept as sums alone, the line that belongs to this one may be among them.
    when not exists (select 1 from tallied_minute) then 'next-hop-missing'
  end as next_hop_gap,
  -- Flows that have these two, `counted`, `journey_place` and `bypass_reason_id` in common have all words of the verdict in
  -- common: whoever counts by words groups by these integers, and reads the words off one flow of each group.
  rv.key as route_key,
  ov.key as ending_key,
  -- 8 bytes, NULL when joined with no other. Of the thousand flows that have id / 1000 in common, each has its place in
  -- two rows of bytes (unicode() of a byte below 128 is its number, and NULL for 0).
  (
    select nullif(substr(hj.journeys, f.id % 1000 * 8 + 1, 8), x'0000000000000000')
    from hop_journey hj
    where hj.block = f.id / 1000
  ) as journey,
  unicode(substr(hp.places, f.id % 1000 + 1, 1)) as journey_place
from flow f
join source s on s.id = f.source
join destination d on d.id = f.destination
-- Intervals do not overlap (the store sees to it), so this finds at most one.
left join policy_interval i on i.from_ms <= f.started_at_ms and i.until_ms > f.started_at_ms
left join route_verdict rv on rv.key = i.id * 1099511627776 + s.class * 1048576 + d.class
left join ending ov on ov.key = rv.context_key + f.outcome
left join hop_place hp on hp.block = f.id / 1000
-- A gateway's or a proxy's line is a bypass when its client is proven to have come around the hop that should stand
-- before. The connection's own proof of a hop before comes first: what an inventory says against it is a doubt; a probe is no bypass, and a
-- line that can be read in more than one way accuses nobody.
left join bypass_reason br on br.id = case
  when rv.claim is null or coalesce(ov.left_hop, 0) = 0 or ov.never_clears = 1 or ov.result = 'noise' then null
  when unicode(substr(hp.places, f.id % 1000 + 1, 1)) & 33 then null
  when rv.claim_reason is not null then rv.claim_reason
  -- 8: a sidecar stands before this SNI proxy.
  when unicode(substr(hp.places, f.id % 1000 + 1, 1)) & 8 then case when rv.claim_needs_gateway = 1 then 3 end
  -- 16: no line of the client's own sidecar could be the hop before. That proves something where the sidecar's log was
  -- read past the end of the flow, and a minute longer (OwnLogs.graceMs says why), and where nothing came since.
  when unicode(substr(hp.places, f.id % 1000 + 1, 1)) & 16
    and f.duration_ms between 0 and 1152921504606846976
    and f.started_at_ms between -1152921504606846976 and 1152921504606846976
    and exists (
      select 1
      from own_log o
      where o.client_ip = s.client_ip
        and o.from_ms <= f.started_at_ms + f.duration_ms - 60000
        and o.until_ms >= f.started_at_ms + f.duration_ms + 60000
    )
    -- The proxy's own clock may be wrong.
    and not exists (
      select 1
      from doubtful_clock c
      where c.log = s.log
        and c.proxy_ip = coalesce(s.proxy_ip, '')
        and f.started_at_ms + f.duration_ms between c.from_ms and c.until_ms
    )
    and not exists (
      select 1
      from open_minute m
      where m.minute between (f.started_at_ms - 240000) / 60000 and (f.started_at_ms + 240000) / 60000
    )
    then 2
end;
