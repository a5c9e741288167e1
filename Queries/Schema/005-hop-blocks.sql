-- What joining says of the flows, a thousand to a row: a row each would cost more than the flow itself. SQL reads them as
-- judged_flow does. Joined with no other: zeros, or no row.
create table hop_place (
  block integer primary key,          -- flow id / 1000
  -- A byte per flow, at flow id % 1000, in bits: 1 has an earlier hop, proven by the connection; 2 has a later hop;
  -- 4 an attempt that was repeated; 8 has an earlier hop by its request id alone.
  places blob not null
);
-- Apart, so that who asks for places alone reads no more. Two of these fit into a page.
create table hop_journey (
  block integer primary key,
  journeys blob not null              -- 8 bytes per flow: of the first hop's own content, the same whatever was read first
);
-- The rows of flow_hop move over in HopBlocks.swift, which then drops it.

-- How far the clocks of two proxies were apart, as pairs of hops beyond doubt show.
create table clock_skew (
  earlier_log integer not null, earlier_ip text not null,
  later_log integer not null, later_ip text not null,
  skew_ms integer not null,           -- later clock minus earlier one, with the way between them; in the minute with most samples
  samples integer not null,           -- pairs in that minute
  least_ms integer not null, most_ms integer not null,   -- of all minutes
  first_ms integer not null, last_ms integer not null,   -- where the first and the last of the minutes begin, Unix ms
  primary key (earlier_log, earlier_ip, later_log, later_ip)
) without rowid;
