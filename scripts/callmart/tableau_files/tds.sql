-- name: held_types
-- The columns of all tables in a .hyper file, in order, with their types.
select
    c.relname,
    a.attname,
    format_type(a.atttypid, a.atttypmod)
from pg_catalog.pg_attribute as a
inner join pg_catalog.pg_class as c on a.attrelid = c.oid
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where n.nspname = '{schema}' and a.attnum > 0
order by c.relname, a.attnum;
