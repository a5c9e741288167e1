-- log.unread may be `tail`, too: the log was rotated away, cut or written over, and what came after its last reading was not read.

-- Endings, nodes and public IPv6 addresses are judged more strictly than before.
update meta set value = '0' where key = 'judged';
