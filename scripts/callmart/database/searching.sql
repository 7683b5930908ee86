-- name: tables
-- All tables and sequences but PostgreSQL's own and temporary ones. A month belongs to its table.
select
    nspname::text,
    relname::text
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where
    c.relkind in ('r', 'p', 'm', 'f', 'S')
    and not c.relispartition
    and nspname not in ('pg_catalog', 'information_schema')
    and nspname !~ '^pg_(toast|temp)'
order by 1, 2;

-- name: of_persons
-- The columns of a table that hold words of a person, and whether the table has customers.
select
    c.column_name::text,
    w.attname is not null
from access.pointing_column as c
inner join pg_catalog.pg_attribute as a on c.relation = a.attrelid and c.column_name = a.attname
inner join pg_catalog.pg_type as t on a.atttypid = t.oid
left join pg_catalog.pg_attribute as w on c.relation = w.attrelid and w.attname = 'customer_id'
where
    c.relation = to_regclass(%(table)s)
    and t.typcategory = 'S'
    and c.persons && '{agent,caller,contact,recipient}';

-- name: catalogue
-- PostgreSQL's own tables that this login may read.
select
    nspname::text,
    relname::text
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where c.relkind = 'r' and nspname = 'pg_catalog' and has_table_privilege(c.oid, 'select')
order by 1, 2;
