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
