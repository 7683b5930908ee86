-- What the functions and views say as callmart made them: a change by hand is drift. Of a view that customers read,
-- its owner and its rights count as well.
create or replace view access.current_definition as
select
    p.oid::regprocedure::text as object,
    md5(pg_get_functiondef(p.oid)) as definition
from pg_catalog.pg_proc as p
where
    p.pronamespace in (
        'access'::regnamespace, 'registry'::regnamespace, 'raw'::regnamespace, 'ops'::regnamespace
    )
union all
select
    v.oid::regclass::text,
    md5(
        pg_get_viewdef(v.oid)
        || coalesce(v.reloptions::text, '')
        || case
            when v.relnamespace = 'mart'::regnamespace
                then
                    v.relowner::regrole::text
                    || coalesce(v.relacl::text, '')
                    || coalesce(
                        (
                            select string_agg(attacl::text, ' ' order by attnum)
                            from pg_catalog.pg_attribute
                            where attrelid = v.oid and attacl is not null
                        ),
                        ''
                    )
            else ''
        end
    )
from pg_catalog.pg_class as v
where
    v.relkind = 'v'
    and v.relnamespace in (
        'access'::regnamespace, 'registry'::regnamespace, 'raw'::regnamespace, 'ops'::regnamespace,
        'mart'::regnamespace
    );

create table if not exists access.definition (
    object text primary key,
    definition text not null,
    query text -- what `access.show` was given, for a view of its own
);

-- Show what a query makes of a mart to the mart's group: a view with a barrier, so that no condition of a reader is
-- evaluated before the policies, owned by the role that reads the tables. Nothing is done where it stands already:
-- readers would have to let go of it.
create or replace function access.show(view_name name, mart_group text, query text) returns void
language plpgsql
as $$
declare
    shown text := format('mart.%I', view_name);
begin
    if exists (
        select
        from access.definition as was
        join access.current_definition as now using (object, definition)
        join pg_catalog.pg_class as v on v.oid = to_regclass(shown)
        where was.object = shown and was.query = show.query and v.relowner = to_regrole(access.shows(mart_group)::text)
    ) then
        return;
    end if;
    lock table access.definition in share row exclusive mode; -- two at once would both change the schema's rights
    execute format('drop view if exists %s', shown);
    execute format('create view %s with (security_barrier = true) as %s', shown, query);
    execute format('grant select on %s to %I', shown, access.readers(mart_group));
    -- PostgreSQL asks that a new owner may make things in the schema; afterwards it may not.
    execute format('grant create on schema mart to %I', access.shows(mart_group));
    execute format('alter view %s owner to %I', shown, access.shows(mart_group));
    execute format('revoke create on schema mart from %I', access.shows(mart_group));
    insert into access.definition (object, definition, query)
    select now.object, now.definition, show.query from access.current_definition as now where now.object = shown
    on conflict (object) do update set definition = excluded.definition, query = excluded.query;
end
$$;

-- Show a mart: every column by its name, and the reader's own number as a constant, so that no estimate tells how many
-- rows another number has.
create or replace function access.show_mart(mart regclass, mart_group text) returns void
language plpgsql
as $$
declare
    mart_name name;
    columns   text;
begin
    select relname into strict mart_name from pg_catalog.pg_class where oid = mart;
    select string_agg(
        case attname
            when 'customer_id' then 'access.current_customer() as customer_id'
            else quote_ident(attname)
        end,
        ', ' order by attnum
    )
    from pg_catalog.pg_attribute
    where attrelid = mart and attnum > 0 and not attisdropped
    into strict columns;
    perform access.show(mart_name, mart_group, format('select %s from %s', columns, mart));
end
$$;

-- Last, when all of them are as they should be.
delete from access.definition
where object not like 'mart.%';
insert into access.definition (object, definition)
select
    object,
    definition
from access.current_definition
where object not like 'mart.%';
