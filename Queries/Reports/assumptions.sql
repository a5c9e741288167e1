-- title: What the verdicts rest on without proof
-- about: Assumptions made where neither a log line nor the policy decides. A policy that states them removes
--    them from here.
-- rows: all
-- column: assumption text   one sentence each
select text as assumption
from assumption
order by id;
