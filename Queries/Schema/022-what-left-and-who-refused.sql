-- Endings of stored lines have other verdicts: what a cache had the origin validate has left, and refusals and outages are told
-- apart by more than the flag that they share. All verdicts are made anew.
update meta set value = '0' where key = 'judged';
