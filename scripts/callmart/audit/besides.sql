-- name: readable
-- The relations that a role may read besides PostgreSQL's own and those of marts, each with the columns of some types.
select
    r.relation,
    array_agg(a.attname::text order by a.attnum),
    array_agg(format_type(a.atttypid, a.atttypmod) order by a.attnum)
from (
    select
        c.oid,
        format('%%I.%%I', n.nspname, c.relname) as relation
    from pg_class as c
    inner join pg_namespace as n on c.relnamespace = n.oid
    where
        n.nspname not in ('pg_catalog', 'information_schema')
        and has_schema_privilege(%(role)s, n.oid, 'usage')
        and c.relkind in ('r', 'p', 'v', 'm', 'f')
) as r
inner join pg_attribute as a on r.oid = a.attrelid
where
    r.relation <> all(%(of_marts)s)
    and a.attnum > 0
    and not a.attisdropped
    and format_type(a.atttypid, a.atttypmod) = any(%(types)s)
    and has_column_privilege(%(role)s, r.oid, a.attnum, 'select')
group by r.relation
order by r.relation;
