-- Without a flag, what else a line says of its end counts before the black hole; and an exception's port is also the port that
-- reports show: all verdicts are made anew.
update meta set value = '0' where key = 'judged';
