-- name: names
-- All names and addresses of the registry, each with a description of its owner.
select
    name,
    format('the name of customer %s', customer_id)
from registry.customer
union all
select
    unnest(array[name, email]),
    format('a contact of customer %s', customer_id)
from registry.contact
union all
select
    email,
    format('a recipient of customer %s', customer_id)
from registry.recipient
union all
select
    unnest(array[name, email]),
    format('an agent of customer %s', customer_id)
from registry.agent;

-- name: columns
-- The columns with text that the login may read, and the comments, which everybody may.
select
    nspname,
    relname,
    attname
from pg_class as c
inner join pg_namespace as n on n.oid = relnamespace
inner join pg_attribute on attrelid = c.oid and attnum > 0 and not attisdropped
inner join pg_type as t on t.oid = atttypid and typcategory not in ('N', 'D', 'T', 'B')
where
    relkind in ('r', 'p', 'v', 'm', 'f')
    and not relispartition
    and (
        nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
        or c.oid in ('pg_catalog.pg_description'::regclass, 'pg_catalog.pg_shdescription'::regclass)
    )
    and has_schema_privilege(n.oid, 'usage')
    and has_column_privilege(c.oid, attnum, 'select')
order by nspname, relname, attnum;
