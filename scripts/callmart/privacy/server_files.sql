-- name: touched
-- The relations from which rows of persons were deleted. A table with months has no file of its own.
select v.relation
from ops.to_vacuum as v
inner join pg_catalog.pg_class as c on c.oid = to_regclass(v.relation) and c.relkind = 'r'
order by v.relation;

-- name: since
-- Since when a session's transaction lasts. Null if the reader may not know it.
select to_char(xact_start at time zone %(zone)s, 'YYYY-MM-DD HH24:MI')
from pg_catalog.pg_stat_activity
where pid = %(pid)s;

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
    where pg_relation_filepath(c.oid) = any(%(files)s)
)

select distinct
    t.oid::regclass::text,
    t.relnamespace <> 'pg_catalog'::regnamespace
from held
left join pg_catalog.pg_class as p on held.relation = p.reltoastrelid
inner join pg_catalog.pg_class as t on t.oid = coalesce(p.oid, held.relation)
where t.relkind in ('r', 'm');

-- name: files
-- The files of tables, of their months and indexes, and of what is packed apart.
with found as (
    select c.oid
    from pg_catalog.pg_class as c
    where c.oid = any(%(tables)s::regclass[])
    union
    select m.relid
    from unnest(%(tables)s::regclass[]) as parent, pg_catalog.pg_partition_tree(parent) as m
),

stored as (
    select oid from found
    union all
    select c.reltoastrelid
    from found
    inner join pg_catalog.pg_class as c on found.oid = c.oid
)

select pg_catalog.pg_relation_filepath(oid) from stored
union
select pg_catalog.pg_relation_filepath(x.indexrelid)
from stored
inner join pg_catalog.pg_index as x on stored.oid = x.indrelid;

-- name: statements
-- What the extension has that keeps the texts of statements: its view, and the call that lets it forget them. No row if
-- it isn't there. They are found as parts of the extension, and the call names the type of each argument: a function of
-- the same name and with other arguments can be anybody's.
with parts as (
    select
        d.classid,
        d.objid
    from pg_catalog.pg_depend as d
    inner join pg_catalog.pg_extension as e on d.refobjid = e.oid
    where
        d.refclassid = 'pg_catalog.pg_extension'::regclass
        and d.deptype = 'e'
        and e.extname = 'pg_stat_statements'
)

select
    c.oid::regclass::text,
    pg_catalog.format(
        'select %I.%I(%s)',
        n.nspname,
        p.proname,
        (
            select pg_catalog.string_agg(pg_catalog.format('%L::%s', '0', type::regtype), ', ' order by nth)
            from unnest(p.proargtypes) with ordinality as arguments (type, nth)
        )
    )
from parts as of_view
inner join pg_catalog.pg_class as c on of_view.objid = c.oid
cross join parts as of_call
inner join pg_catalog.pg_proc as p on of_call.objid = p.oid
inner join pg_catalog.pg_namespace as n on p.pronamespace = n.oid
where
    of_view.classid = 'pg_catalog.pg_class'::regclass
    and c.relname = 'pg_stat_statements'
    and of_call.classid = 'pg_catalog.pg_proc'::regclass
    and p.proname = 'pg_stat_statements_reset';

-- name: has_removed
-- Whether something of a customer was removed since the log was left last.
select coalesce(max(entry) filter (where action = 'removed') > max(entry) filter (where action = 'log left'), true)
from ops.audit_log
where action in ('removed', 'log left')
having bool_or(action = 'removed');
