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

-- name: large_objects
select lo_get(oid) from pg_catalog.pg_largeobject_metadata;

-- name: relations
-- The tables that files belong to, with those of their indexes and of what is packed apart; and whether they are
-- callmart's. Others are PostgreSQL's own.
with held as (
    select coalesce(x.indrelid, c.oid) as relation
    from pg_catalog.pg_class as c
    left join pg_catalog.pg_index as x on c.oid = x.indexrelid
    where pg_relation_filenode(c.oid) = any(%(files)s)
)

select distinct
    t.oid::regclass::text,
    t.relnamespace <> 'pg_catalog'::regnamespace
from held
left join pg_catalog.pg_class as p on held.relation = p.reltoastrelid
inner join pg_catalog.pg_class as t on t.oid = coalesce(p.oid, held.relation)
where t.relkind in ('r', 'm');

-- name: keeps_statements
-- The schema of the extension that keeps the texts of statements; no row if it isn't there.
select quote_ident(n.nspname)
from pg_catalog.pg_extension as e
inner join pg_catalog.pg_namespace as n on e.extnamespace = n.oid
where e.extname = 'pg_stat_statements';
