-- name: touched
-- The relations from which rows of persons were deleted. A table with months has no file of its own.
select v.relation
from ops.to_vacuum as v
inner join pg_catalog.pg_class as c on c.oid = to_regclass(v.relation) and c.relkind = 'r'
order by v.relation;

-- name: log
-- The files of the write-ahead log, those that are kept in store included.
select name from pg_catalog.pg_ls_waldir()
where name ~ '^[0-9A-F]{24}$';
