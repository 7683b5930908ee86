-- name: partitions
-- One row per monthly partition of a table: its name, which ends in year and month.
select c.relname
from pg_inherits
inner join pg_class as c on c.oid = inhrelid
where inhparent = to_regclass(format('%%I.%%I', %(schema)s::text, %(table)s::text)) and c.relname ~ '_[0-9]{6}$'
order by 1;
