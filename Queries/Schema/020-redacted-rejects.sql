-- Lines that nothing understood are kept as people are shown them: without query strings and credentials. Those there are
-- get that from the program.
select 1;
