-- How long the pods of the imported topology lived, and who of them had which address when, as verdicts have it: made anew from all
-- looks at the cluster with each that is imported. Times are Unix milliseconds, ends exclusive and NULL where nothing shows one.
drop view if exists pod_life;
drop view if exists pod_address;

-- A pod is one by its namespace, its name and its start: who has the name after it is another. One that never had an address, and is
-- not over, sent nothing, and is none. Of a pod that looks show with different kinds of proxy (`none` until ztunnel took it over) there
-- is a row for each.
create table pod_life (
  id integer primary key,
  namespace text not null,
  name text not null,
  proxy text not null,
  workload text not null,
  started_ms integer,
  first_ms integer not null, until_ms integer,
  -- The first and the last look that show it before its end.
  alive_first_ms integer, alive_last_ms integer,
  -- Lines that bear its name are its own from then until then: clocks may differ by a minute, but not into the life of another.
  lines_from_ms integer not null, lines_until_ms integer not null
);
create index pod_life_name on pod_life (namespace, name);

create table pod_address (
  life integer not null,
  address text not null,
  from_ms integer not null, until_ms integer,
  -- Lines that show the address are the pod's from then until then.
  lines_from_ms integer not null, lines_until_ms integer not null
);
create index pod_address_address on pod_address (address);
create index pod_address_life on pod_address (life);
