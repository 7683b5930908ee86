-- name: tables
-- The tables that a backup counts: those with rows that are dumped.
select format('%%I.%%I', nspname, relname) as name
from pg_catalog.pg_class inner join pg_catalog.pg_namespace on pg_namespace.oid = relnamespace
where
    nspname = any(%(schemas)s) and relkind in ('r', 'p') and not relispartition and relpersistence = 'p'
    and format('%%I.%%I', nspname, relname) <> all(%(left_out)s)
order by 1;

-- name: with_earlier_marts
-- The schema `mart`, if an earlier version has tables there.
select distinct relnamespace::regnamespace::text
from pg_catalog.pg_class
where relnamespace = to_regnamespace('mart') and relkind in ('r', 'p');

-- name: content
-- How many rows a table has, and a digest of them. It is the same in whatever order the rows come.
select
    count(*),
    coalesce(sum(('x' || left(md5(t::text), 16))::bit(64)::bigint), 0)::text
from {table} as t;

-- name: ledger
-- The ledger that the database belongs to, its last entry, and whether it has a copy.
select
    ledger,
    (select coalesce(max(entry), 0) from privacy.ledger_entry),
    has_copy
from privacy.ledger;
