-- name: relations
-- A mart and its months, with their indexes, and the name that each has after the mart is renamed.
with parts as (
    select coalesce(relid, mart)::oid as relation -- a table without months is in no tree
    from to_regclass('store.' || quote_ident(%(was)s)) as mart
    left join pg_partition_tree(mart) on true
),

named as (
    select
        'table' as kind,
        relname as was
    from parts inner join pg_class on oid = relation
    union all
    select
        'index',
        relname
    from parts
    inner join pg_index on indrelid = relation
    inner join pg_class on oid = indexrelid
)

select
    kind,
    was,
    %(now)s || substr(was, length(%(was)s) + 1)
from named
where starts_with(was, %(was)s);

-- name: rename_results
insert into ops.quality_result (build_id, mart, expectation, severity, success)
select
    build_id,
    %(now)s,
    expectation,
    severity,
    success
from ops.quality_result
where mart = %(was)s;

-- name: rename_failures
update ops.quality_failure set mart = %(now)s
where mart = %(was)s;

-- name: forget_results
delete from ops.quality_result
where mart = %(was)s;

-- name: rename_causes
update ops.held_back
set
    cause = (
        select
            string_agg(
                case
                    when starts_with(one, %(was)s || ': ') then %(now)s || substr(one, length(%(was)s) + 1)
                    else one
                end,
                '; ' order by causes.place
            )
        from unnest(string_to_array(cause, '; ')) with ordinality as causes (one, place)
    )
where cause like '%%' || %(was)s || ': %%';

-- name: rename_days
update ops.opened_day set mart = %(now)s
where mart = %(was)s;

-- name: rename_builds
update ops.build
set
    tables = (tables - %(was)s::text) || jsonb_build_object(%(now)s::text, tables -> %(was)s),
    definitions = (definitions - %(was)s::text) || jsonb_build_object(%(now)s::text, definitions -> %(was)s)
where tables ? %(was)s;

-- name: rename_definitions
update ops.definition set mart = %(now)s
where mart = %(was)s;

-- name: rename_column
-- Renamed, not new: days that were computed before have its values.
update ops.definition set columns = array_replace(columns, %(was)s, %(now)s)
where mart = %(mart)s;

-- name: rename_vacuumed
-- Of the mart and its months.
update ops.to_vacuum set relation = 'store.' || %(now)s || substr(relation, length('store.' || %(was)s) + 1)
where relation ~ ('^store\.' || %(was)s || '(_\d{6})?$');
