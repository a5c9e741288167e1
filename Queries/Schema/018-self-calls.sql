-- A workload that dials itself is no gateway, wherever it says that it comes from: all verdicts are made anew.
update meta set value = '0' where key = 'judged';
