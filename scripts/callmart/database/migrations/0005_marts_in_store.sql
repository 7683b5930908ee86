-- The marts' tables were in `mart`, where their readers are. Move them to `store`, with their months and rows. Until
-- the rest of the upgrade has made the readers' views, nobody reads them.
create schema if not exists store;

do $$
declare
    moved regclass;
begin
    if not exists (
        select from pg_catalog.pg_class where relnamespace = 'mart'::regnamespace and relkind in ('r', 'p')
    ) then
        return;
    end if;
    for moved in
        select oid from pg_catalog.pg_class where relnamespace = 'mart'::regnamespace and relkind = 'v'
    loop
        execute format('drop view %s', moved);
    end loop;
    for moved in
        select oid from pg_catalog.pg_class where relnamespace = 'mart'::regnamespace and relkind in ('r', 'p')
    loop
        execute format('alter table %s set schema store', moved);
    end loop;
    delete from access.definition where object like 'mart.%';
    update ops.to_vacuum set relation = regexp_replace(relation, '^mart\.', 'store.') where relation like 'mart.%';
end
$$;

-- The group that each mart was made in. It never follows a change of the YAML by itself: that would show two years of
-- data to other readers.
create table if not exists access.mart (
    relation regclass primary key,
    mart_group text not null
);

-- Until now a mart's group was only in the role of its policy. A database that was restored without its roles has no
-- policies either; there the group is noted when the mart is protected again.
insert into access.mart (relation, mart_group)
select
    c.oid::regclass,
    substring(r.rolname from '_(?:reads|shows)_([a-z]+)$')
from pg_catalog.pg_class as c
inner join pg_catalog.pg_policy as p on c.oid = p.polrelid and p.polname = 'own_rows'
inner join pg_catalog.pg_roles as r on r.oid = any(p.polroles)
where
    c.relnamespace in ('store'::regnamespace, 'usage'::regnamespace)
    and c.relkind in ('r', 'p')
    and not c.relispartition
on conflict do nothing;
