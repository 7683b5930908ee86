-- name: tables
-- All tables but PostgreSQL's own and temporary ones. A month belongs to its table.
select
    nspname::text,
    relname::text
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where
    c.relkind in ('r', 'p', 'm', 'f')
    and not c.relispartition
    and nspname not in ('pg_catalog', 'information_schema')
    and nspname !~ '^pg_(toast|temp)'
order by 1, 2;

-- name: of_persons
-- The columns of a table that hold words of a person, by what their comments say.
select a.attname::text
from pg_catalog.pg_attribute as a
inner join pg_catalog.pg_type as t on a.atttypid = t.oid
where
    a.attrelid = to_regclass(%(table)s)
    and a.attnum > 0
    and not a.attisdropped
    and t.typcategory = 'S'
    and col_description(a.attrelid, a.attnum) ~ 'person: (agent|caller|contact|recipient)';
