-- name: full
-- Whether one of callmart's schemas has anything in it. Commands that did nothing leave ops.running_now behind.
select count(*) > 0
from pg_catalog.pg_class inner join pg_catalog.pg_namespace on pg_namespace.oid = relnamespace
where nspname = any(%(schemas)s) and pg_class.oid is distinct from to_regclass('ops.running_now');

-- name: marts
-- The tables of marts, with the group that each was made in.
select
    relation::text,
    relnamespace::regnamespace::text,
    relname,
    mart_group
from access.mart inner join pg_catalog.pg_class on pg_class.oid = relation
order by 1;

-- name: stored
-- The tables of events and marts, each month for itself.
select c.oid::regclass::text
from pg_catalog.pg_class as c
where c.relkind = 'r' and c.relnamespace::regnamespace::text in ('raw', 'store');
