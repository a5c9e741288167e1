-- A gateway that the imported topology knows counts whether lines name it or not, one may share the address of its node, and what one
-- client's line shows of a host is no word for another's: all verdicts are made anew.
update meta set value = '0' where key = 'judged';
