-- name: marts
-- The marts' tables but for those of some names: name, group of the policy, key, day, columns with their types, and the
-- view with its ratios.
-- Before migration 5 they were in `mart`, with the views.
with key_column as not materialized ( -- else all keys of the database were read for each table
    select
        indrelid as relation,
        attname,
        atttypid,
        array_position(indkey::smallint[], attnum) as place
    from pg_index inner join pg_attribute on attrelid = indrelid and attnum = any(indkey)
    where indisprimary
)

select
    c.relname,
    (
        select substring(rolname from '_([a-z]+)$')
        from pg_policy inner join pg_roles on pg_roles.oid = any(polroles)
        where polrelid = c.oid and polname = 'own_rows'
    ),
    array(
        select attname::text from key_column
        where relation = c.oid
        order by place
    ),
    coalesce(
        (
            select attname
            from pg_partitioned_table inner join pg_attribute on attrelid = partrelid and attnum = partattrs[0]
            where partrelid = c.oid and partstrat = 'r' and atttypid = 'date'::regtype
        ),
        (
            select min(attname::text) from key_column
            where relation = c.oid and atttypid = 'date'::regtype
            having count(*) = 1
        )
    ),
    array(
        select array[attname::text, format_type(atttypid, atttypmod)] from pg_attribute
        where attrelid = c.oid and attnum > 0 and not attisdropped
        order by attnum
    ),
    (
        select min(v.relname::text)
        from pg_depend
        inner join pg_rewrite on classid = 'pg_rewrite'::regclass and objid = pg_rewrite.oid
        inner join pg_class as v on ev_class = v.oid
        where refobjid = c.oid and v.relnamespace = 'mart'::regnamespace and v.relname <> c.relname
    )
from pg_class as c
where
    relnamespace = coalesce(to_regnamespace(%(schema)s), 'mart'::regnamespace)
    and relkind in ('r', 'p')
    and not relispartition
    and relname <> all(%(without)s::text[])
order by c.relname;

-- name: views
-- The views that read one of these marts or a month of it, directly or through other views: mart, view, and whether it
-- is callmart's.
with recursive reader as (
    select
        mart,
        coalesce(relid, parent)::oid as relation, -- a table without months is in no tree
        true as is_own
    from unnest(%(marts)s::text[]) as mart
    cross join lateral to_regclass(%(schema)s || '.' || quote_ident(mart)) as parent
    left join pg_partition_tree(parent) on true
    union
    select
        mart,
        ev_class,
        false
    from reader
    inner join pg_depend
        on classid = 'pg_rewrite'::regclass
        and refclassid = 'pg_class'::regclass
        and refobjid = relation
    inner join pg_rewrite on pg_rewrite.oid = objid
)

select
    mart,
    format('%%I.%%I', nspname, relname) as reading_view,
    object is not null
from reader
inner join pg_class as c on c.oid = relation
inner join pg_namespace as n on n.oid = relnamespace
left join access.definition on object = relation::regclass::text
where not is_own
order by mart, reading_view;
