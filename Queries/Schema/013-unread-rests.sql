-- Why a log was not read to its end when it was last read; NULL where it was.
--   cut        its gzip data ends in the middle
--   garbage    what stands behind its gzip data is none
--   error      it is damaged, or could not be read on
--   stopped    a signal ended the reading
--   unopened   it, or the folder of that path, could not be opened or is in a form that is not read
alter table log add column unread text;

-- Endings and claims are judged more strictly than before.
update meta set value = '0' where key = 'judged';
