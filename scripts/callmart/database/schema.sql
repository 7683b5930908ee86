-- name: versions
-- The functions and views that callmart made, with the version of their row in the catalogue: it changes whenever one
-- is replaced, even by its equal.
select
    object,
    made.kind,
    made.row_version
from access.definition
inner join (
    select
        oid::regprocedure::text,
        'function',
        ctid::text
    from pg_catalog.pg_proc
    union all
    select
        ev_class::regclass::text,
        'view',
        ctid::text
    from pg_catalog.pg_rewrite
    where rulename = '_RETURN'
) as made (object, kind, row_version) using (object)
where object not like 'mart.%'
order by made.kind desc, object; -- views before functions, which they may use

-- name: keep_definitions
-- Keep the hashes of all functions and views as they are now.
with forgotten as (
    delete from access.definition
    where object not like 'mart.%'
)

insert into access.definition (object, definition)
select
    object,
    definition
from access.current_definition
where object not like 'mart.%'
on conflict (object) do update set definition = excluded.definition;
