-- Changes to databases of earlier versions.

-- An earlier version had the marts' tables in `mart`. Move them, with their partitions and rows.
do $$
declare
    moved   regclass;
    earlier record;
begin
    for moved in
        select oid from pg_catalog.pg_class
        where
            relnamespace = 'mart'::regnamespace and relkind = 'v'
            and exists (
                select from pg_catalog.pg_class where relnamespace = 'mart'::regnamespace and relkind in ('r', 'p')
            )
    loop
        execute format('drop view %s', moved);
    end loop;
    for earlier in
        select
            c.oid::regclass as mart,
            substring(rolname from '_reads_([a-z]+)$') as mart_group,
            attname as day
        from pg_catalog.pg_class as c
        left join pg_catalog.pg_policy on polrelid = c.oid and polname = 'own_rows'
        left join pg_catalog.pg_roles on pg_roles.oid = any(polroles)
        left join pg_catalog.pg_partitioned_table on partrelid = c.oid
        left join pg_catalog.pg_attribute on attrelid = c.oid and attnum = partattrs[0]
        where c.relnamespace = 'mart'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
    loop
        for moved in
            select earlier.mart
            union all
            select relid from pg_catalog.pg_partition_tree(earlier.mart) where level = 1
        loop
            execute format('alter table %s set schema store', moved);
        end loop;
        if earlier.mart_group is not null then -- otherwise `access apply` guards it, from its YAML
            perform access.protect(earlier.mart, earlier.mart_group, earlier.day);
        end if;
    end loop;
    update ops.to_vacuum set relation = regexp_replace(relation, '^mart\.', 'store.') where relation like 'mart.%';
end
$$;

-- Contacts with a hold are no longer counted as a function: beside holds and answers they revealed too much.
do $$
declare
    counted regclass;
begin
    foreach counted in array array_remove(
        array[to_regclass('usage.function_month'), to_regclass('raw.function_use')], null
    ) loop
        execute format('delete from %s where function = %L', counted, 'hold_contact');
    end loop;
end
$$;

-- Drop the tables and views of models that no longer exist. Nothing else would remove their rows.
do $$
declare
    obsolete text;
begin
    for obsolete in
        select format('drop %s if exists build.%I cascade', case relkind when 'v' then 'view' else 'table' end, relname)
        from pg_catalog.pg_class
        where
            relnamespace = 'build'::regnamespace
            and relkind in ('r', 'v')
            and relname in ('int_call_event', 'int_hold', 'int_talk', 'int_transfer', 'int_wrapup')
    loop
        execute obsolete;
    end loop;
end
$$;

-- Note the group of each mart that was made before access.mart existed.
delete from access.mart
where not exists (
    select from pg_catalog.pg_class as c
    where c.oid = relation
);
insert into access.mart (relation, mart_group)
select
    m.mart,
    substring(r.rolname from '_(?:reads|shows)_([a-z]+)$')
from access.mart_relation as m
inner join pg_catalog.pg_policy as p on m.mart = p.polrelid and p.polname = 'own_rows'
inner join pg_catalog.pg_roles as r on r.oid = any(p.polroles)
where m.relation = m.mart
on conflict do nothing;
