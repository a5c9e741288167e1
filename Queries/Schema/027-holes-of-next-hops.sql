-- Between two logs of a next hop nothing was read of it: what was handed on to it then counts where it was handed on. A list of holes
-- has the 64 ids from `next_hop_holes` times 64 on; ends are inclusive.
create table next_hop_hole (id integer primary key, from_ms integer not null, until_ms integer not null);
alter table route_verdict add column next_hop_holes integer;

update meta set value = '0' where key = 'judged';
