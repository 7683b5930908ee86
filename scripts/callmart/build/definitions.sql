-- name: known
-- The definitions of the project as it is: those that a build computed by, or else those that were only compiled. All
-- of them must still be there: a mart that is retired takes its own along.
select definitions from (
    select
        definitions,
        build_id
    from ops.build
    where project = %(project)s
    union all
    select
        definitions,
        0 as build_id
    from ops.compiled_project
    where project = %(project)s and %(also_compiled)s
) as compiled
where
    not exists (
        select 1 from jsonb_each(definitions) as known
        where known.value::integer not in (select definition_id from ops.definition)
    )
order by build_id desc
limit 1;

-- name: keep
-- Keep what was compiled without a build.
insert into ops.compiled_project (project, definitions) values (%(project)s, %(definitions)s)
on conflict (one_row) do update
    set
        project = excluded.project,
        definitions = excluded.definitions;
