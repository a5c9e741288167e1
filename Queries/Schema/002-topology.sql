-- What `gatewatch topology import` read: snapshots of a cluster's objects, each object once, with the times it was seen.
-- Sources/Flows/ClusterObject.swift says what the columns of an object mean.

create table topology_snapshot (
  id integer primary key,
  at_ms integer not null,
  time_from text not null,            -- --at, the newest time in it, the file's time
  hash text not null,                 -- of its objects
  file text not null,                 -- the first file that brought it
  objects integer not null,
  kinds text not null,                -- {"Pod": 12, ...}, as written in the file
  unique (at_ms, hash)
);

-- The moments at which somebody looked for the objects of a kind in a namespace, or in all.
create table topology_moment (
  kind text not null,
  namespace text,                     -- NULL: in all
  at_ms integer not null
);
create unique index topology_moment_once on topology_moment (kind, coalesce(namespace, ''), namespace is null, at_ms);

create table topology_object (
  id integer primary key,
  kind text not null,
  namespace text not null,
  name text not null,
  hash integer not null,              -- of all facts
  workload text,
  node text,
  host_network integer not null,
  proxy text,                         -- sidecar, router, waypoint, ambient, none
  addresses text not null,            -- JSON lists and objects from here on
  hosts text not null,
  labels text not null,
  traits text not null,
  opt_outs text not null,
  started_ms integer,
  ended_ms integer
);
create index topology_object_name on topology_object (kind, namespace, name);

-- An object stood in every snapshot that looked for it, from first to last: a row more only for each gap.
create table topology_sighting (
  object integer not null,
  first_ms integer not null,
  last_ms integer not null,
  primary key (object, first_ms)
) without rowid;
