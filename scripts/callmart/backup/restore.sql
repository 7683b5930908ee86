-- name: full
-- Whether one of callmart's schemas has anything in it. Commands that did nothing leave ops.running_now behind.
select exists (
    select from pg_catalog.pg_class
    where
        relnamespace in (
            select oid from pg_catalog.pg_namespace
            where nspname = any(%(schemas)s)
        )
        and oid is distinct from to_regclass('ops.running_now')
);

-- name: marts
-- The tables of marts, with the group that each was made in.
select
    relation::text,
    relnamespace::regnamespace::text,
    relname,
    mart_group
from access.mart inner join pg_catalog.pg_class on pg_class.oid = relation
order by 1;
