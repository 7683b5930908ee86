-- A hash of a view as it is now. For views that customers read it includes owner, rights and whom the columns point to.
-- Its cost lets the planner ask for it last.
create or replace function access.view_definition(view regclass) returns text
stable
cost 10000
language sql
as $$
select
    md5(
        pg_get_viewdef(oid)
        || coalesce(reloptions::text, '')
        || case
            when relnamespace = 'mart'::regnamespace
                then
                    relowner::regrole::text
                    || coalesce(relacl::text, '')
                    || coalesce(
                        (
                            select string_agg(attacl::text, ' ' order by attnum)
                            from pg_catalog.pg_attribute
                            where attrelid = view and attacl is not null
                        ),
                        ''
                    )
                    || access.declared_persons(view)::text
            else ''
        end
    )
from pg_catalog.pg_class
where oid = view and relkind = 'v'
$$;

-- A hash of each function and view, of whom the columns of each table point to, of each shared table its policies, and
-- of each table that is no mart the columns of which the planner keeps no sample, as it is now. access.definition has
-- the hashes as callmart made them; a difference is drift.
create or replace view access.current_definition as
with pointing as materialized (
    select
        relation,
        column_name,
        persons
    from access.pointing_column
    where schema_name in ('access', 'registry', 'raw', 'ops', 'privacy') -- what dbt makes follows the models' YAML
)

select
    p.oid::regprocedure::text as object,
    -- An aggregate has no such text; none is callmart's.
    case when p.prokind = 'a' then 'aggregate' else md5(pg_get_functiondef(p.oid)) end as definition
from pg_catalog.pg_proc as p
where
    p.pronamespace in (
        'access'::regnamespace, 'registry'::regnamespace, 'raw'::regnamespace, 'ops'::regnamespace,
        'privacy'::regnamespace
    )
union all
select
    v.oid::regclass::text,
    access.view_definition(v.oid)
from pg_catalog.pg_class as v
where
    v.relkind = 'v'
    and v.relnamespace in (
        'access'::regnamespace, 'registry'::regnamespace, 'raw'::regnamespace, 'ops'::regnamespace,
        'privacy'::regnamespace, 'mart'::regnamespace
    )
union all
select
    'columns of ' || c.relation::text,
    md5(string_agg(concat_ws(' ', c.column_name, c.persons), ', ' order by c.column_name))
from pointing as c
where c.persons is not null
group by c.relation
union all
select
    'policies of ' || c.oid::regclass::text,
    md5(
        string_agg(
            (
                c.relrowsecurity, c.relforcerowsecurity, p.polname, p.polcmd, p.polpermissive, p.polroles,
                pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
            )::text,
            ', ' order by p.polname
        )
    )
from pg_catalog.pg_class as c
inner join pg_catalog.pg_policy as p on c.oid = p.polrelid
where c.oid::regclass::text = any(access.shared())
group by c.oid
union all
select
    'samples of ' || a.attrelid::regclass::text,
    md5(string_agg(a.attname, ', ' order by a.attnum))
from pg_catalog.pg_attribute as a
inner join pg_catalog.pg_class as c on a.attrelid = c.oid
where
    c.relnamespace in (
        'access'::regnamespace, 'registry'::regnamespace, 'raw'::regnamespace, 'ops'::regnamespace,
        'privacy'::regnamespace
    )
    and c.relkind in ('r', 'p')
    and not c.relispartition
    and a.attnum > 0 and not a.attisdropped -- before PostgreSQL 17 these have 0, too
    and a.attstattarget = 0
group by a.attrelid;

-- Make a view in `mart` that shows a query's result to the readers of a group. The view is a security barrier, so that
-- no condition of a reader is evaluated before the policies. Its owner is the role that reads the tables. Its columns
-- point to whom the tables' columns of these names do. If the view is there already as it should be, nothing is done:
-- replacing it would wait for its readers.
create or replace function access.show(view_name name, mart_group text, query text) returns void
language plpgsql
as $$
declare
    shown text := format('mart.%I', view_name);
begin
    if exists (
        select 1
        from access.definition as was
        join pg_catalog.pg_class as v on v.oid = to_regclass(shown)
        where
            was.object = shown and was.query = show.query
            and was.definition = access.view_definition(v.oid)
            and v.relowner = to_regrole(access.shows(mart_group)::text)
            and access.declared_persons(v.oid) = access.persons_seen(v.oid)
    ) then
        return;
    end if;
    lock table access.definition in share row exclusive mode; -- two sessions can't change the schema's rights at once
    execute format('drop view if exists %s', shown);
    execute format('create view %s with (security_barrier = true) as %s', shown, query);
    perform access.declare_persons(shown::regclass, access.persons_seen(shown::regclass));
    execute format('grant select on %s to %I', shown, access.readers(mart_group));
    -- PostgreSQL requires that a new owner may create objects in the schema. This is revoked again below.
    execute format('grant create on schema mart to %I', access.shows(mart_group));
    execute format('alter view %s owner to %I', shown, access.shows(mart_group));
    execute format('revoke create on schema mart from %I', access.shows(mart_group));
    insert into access.definition (object, definition, query)
    values (shown, access.view_definition(shown::regclass), show.query)
    on conflict (object) do update set definition = excluded.definition, query = excluded.query;
end
$$;

-- Show a mart to its readers: every column by its name, with the reader's own number as a constant. If the column
-- itself was shown, the planner's estimates would reveal how many rows another customer has.
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
