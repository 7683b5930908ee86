-- name: database
-- The owner, the database and the oldest day that is kept.
select
    nspowner::regrole::text,
    current_database(),
    ((now() at time zone %(time_zone)s)::date - interval '2 years')::date::text
from pg_namespace
where nspname = 'mart';

-- name: relations
-- The relations of the schemas, each with its kind and its last column that can be written.
select
    format('%%I.%%I', nspname, relname) as relation,
    relkind::text,
    (
        select attname from pg_attribute
        where attrelid = c.oid and attnum > 0 and not attisdropped and attidentity = '' and attgenerated = ''
        order by attnum desc limit 1
    )
from pg_class as c inner join pg_namespace as n on n.oid = relnamespace
where nspname = any(%(schemas)s) and relkind in ('r', 'p', 'v', 'm', 'S', 'f')
order by relation;
