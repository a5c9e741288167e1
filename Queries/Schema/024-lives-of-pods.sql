-- Pods of one name are told apart, and a pod that was given another address: names and verdicts are made anew. A pod that is over
-- at a time that the cluster did not tell was stored as ended when it started.
update topology_object
set ended_ms = null, traits = '["end-unknown"]'
where kind = 'pod'
  and ended_ms = started_ms
  and addresses <> '[]';

update meta set value = '0' where key = 'judged';
