-- name: versions
-- The functions and views that callmart made, with the version of their row in the catalogue: it changes whenever one
-- is replaced, even by its equal. Views come before the functions that they may use.
with made as (
    select
        1 as place,
        'view' as kind,
        ev_class::regclass::text as object,
        ctid::text as row_version
    from pg_catalog.pg_rewrite
    where rulename = '_RETURN' and ev_class >= 16384 -- PostgreSQL's own have lower numbers
    union all
    select
        2,
        'function',
        oid::regprocedure::text,
        ctid::text
    from pg_catalog.pg_proc
    where oid >= 16384
)

select
    object,
    made.kind,
    made.row_version
from access.definition
inner join made using (object)
where object not like 'mart.%'
order by made.place, object;

-- name: keep_definitions
-- Keep the hashes of all functions and views as they are now.
with found as materialized (
    select
        object,
        definition
    from access.current_definition
    where object not like 'mart.%'
),

forgotten as (
    delete from access.definition
    where object not like 'mart.%' and object not in (select object from found)
)

insert into access.definition (object, definition)
select
    object,
    definition
from found
on conflict (object) do update set definition = excluded.definition;

-- name: changed
-- The functions and views, columns that point to persons, and policies that are not as callmart made them.
with was as (
    select * from access.definition
    where object not like 'mart.%'
),

found as materialized (
    select * from access.current_definition
    where object not like 'mart.%'
)

select object
from was
full join found using (object)
where was.definition is distinct from found.definition;
