-- access: who a session is, and how far back it may look.
-- The bodies are SQL-standard and parsed now: in a string body a caller's own pg_temp.text or pg_temp.date would take
-- the place of the real one. The first two are folded into each plan as constants, so that they cost nothing and no
-- condition of a reader is evaluated before them. A plan that reads a protected table is made anew for each role; use
-- them in policies and views of such tables only.

create or replace function access.current_customer() returns integer
immutable
parallel safe
return substring(current_user from '_customer_([0-9]+)$')::integer;

-- An array with one element, true, at the reader's number; null for a role that is no customer. It does not call the
-- function above: from version 18 on PostgreSQL keeps the plan of a function's body, and would keep the number in it
-- when the session changes its role.
create or replace function access.own() returns boolean[]
immutable
parallel safe
return case
    when current_user ~ '_customer_[0-9]+$'
        then array_fill(true, array[1], array[substring(current_user from '[0-9]+$')::integer])
end;

create or replace function access.retention_floor() returns date
stable
parallel safe
return ((now() at time zone {time_zone}) - interval '2 years')::date;

-- The rows of a mart that a customer sees: its own, of days that are not too old. The free condition comes first. The
-- second one repeats it, for indexes and pruning. Written as PostgreSQL writes it, so that policies can be compared.
create or replace function access.own_rows(mart_group text, day name) returns text
immutable
return case
    when mart_group = 'usage' then 'true'
    when day is null then '((access.own())[customer_id] AND (customer_id = access.current_customer()))'
    else format(
        '((access.own())[customer_id] AND (customer_id = access.current_customer())'
        ' AND (%I >= access.retention_floor()))',
        day
    )
end;

-- Three kinds of roles that cannot log in: a group of readers, whose members are customers or duties; and for the marts
-- of customers the role that owns their views. Nobody is a member of the second kind, so nobody has its rights.
create or replace function access.readers(mart_group text) returns name
stable
return current_database() || '_reads_' || mart_group;

create or replace function access.shows(mart_group text) returns name
stable
return current_database() || '_shows_' || mart_group;

-- Who reads the tables of a group: customers only see its views.
create or replace function access.table_reader(mart_group text) returns name
stable
return case when mart_group = 'usage' then access.readers(mart_group) else access.shows(mart_group) end;

do $$
declare
    wanted name;
begin
    for wanted in
        select access.readers(mart_group) from unnest(array['queue', 'line', 'agent', 'usage']) as mart_group
        union all
        select access.shows(mart_group) from unnest(array['queue', 'line', 'agent']) as mart_group
    loop
        if to_regrole(quote_ident(wanted)) is null then
            execute format('create role %I nologin', wanted);
        end if;
        if wanted ~ '_shows_[a-z]+$' and not pg_has_role(wanted, 'set') then -- to make it the owner of views
            execute format('grant %I to current_user with inherit false, set true', wanted);
        end if;
    end loop;
end
$$;

-- The columns of a mart of which the planner may keep no sample: all but the customer and the day. Its estimates, which
-- EXPLAIN shows to anybody, would tell which values other customers have.
create or replace function access.unsampled_columns(relation regclass, day name) returns setof name
stable
begin atomic
    select attname
    from pg_catalog.pg_attribute
    where attrelid = relation and attnum > 0 and not attisdropped and attname not in ('customer_id', coalesce(day, ''));
end;

-- Guard a relation: row-level security that binds its owner too, a policy for the builder, one for who reads the table,
-- no grant to anybody, and no samples.
create or replace function access.guard(relation regclass, mart_group text, day name) returns void
language plpgsql
as $$
declare
    other      text;
    unsampling text;
begin
    execute format('alter table %s enable row level security, force row level security', relation);
    for other in select polname from pg_catalog.pg_policy where polrelid = relation loop
        execute format('drop policy %I on %s', other, relation);
    end loop;
    execute format('create policy builder on %s to %I using (true) with check (true)', relation, current_user);
    execute format(
        'create policy own_rows on %s for select to %I using (%s)',
        relation, access.table_reader(mart_group), access.own_rows(mart_group, day)
    );
    for other in
        select case grantee when 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end
        from pg_catalog.pg_class, aclexplode(relacl)
        where oid = relation and grantee <> relowner
    loop
        execute format('revoke all on %s from %s cascade', relation, other);
    end loop;
    select string_agg(format('alter column %I set statistics 0', attname), ', ')
    from access.unsampled_columns(relation, day)
    join pg_catalog.pg_attribute on attname = unsampled_columns
    where attrelid = relation and attstattarget is distinct from 0
    into unsampling;
    if unsampling is not null then
        execute format('alter table only %s %s', relation, unsampling);
    end if;
end
$$;

-- A mart and its months: policies hold for a month only if it has its own, and grants are the mart's alone.
create or replace view access.mart_relation as
select
    mart.oid::regclass as mart,
    coalesce(part.relid, mart.oid)::regclass as relation
from pg_catalog.pg_class as mart
left join pg_catalog.pg_partition_tree(mart.oid) as part on true
where
    mart.relnamespace in ('store'::regnamespace, 'usage'::regnamespace)
    and mart.relkind in ('r', 'p')
    and not mart.relispartition;

-- The columns of a relation of which the planner has kept a sample after all. Row-level security hides its samples from
-- the owner, too; the estimates show them: of values below the smallest there is it expects a third where it knows
-- nothing, and next to none where it has a sample.
create or replace function access.sampled_columns(relation regclass, day name) returns setof name
language plpgsql
as $$
declare
    attribute record;
    expected  jsonb;
    of_all    numeric;
begin
    execute format('explain (format json) select from only %s', relation) into expected;
    of_all := expected #>> '{{0, Plan, Plan Rows}}';
    for attribute in
        select
            attname,
            case typcategory
                when 'N' then '-32768'
                when 'D' then '-infinity'
                when 'B' then 'false'
                else ''
            end as smallest
        from access.unsampled_columns(relation, day) as unsampled
        join pg_catalog.pg_attribute on attrelid = relation and attname = unsampled
        join pg_catalog.pg_type as t on t.oid = atttypid
        where of_all >= 10
    loop
        execute format(
            'explain (format json) select from only %s where %I < %L', relation, attribute.attname, attribute.smallest
        ) into expected;
        if (expected #>> '{{0, Plan, Plan Rows}}')::numeric < of_all / 4 then
            return next attribute.attname;
        end if;
    end loop;
end
$$;

-- Let the planner forget what it has sampled of a mart; statistics set to 0 and ANALYZE keep what was there before.
create or replace function access.forget_values(mart regclass, day name) returns void
language plpgsql
as $$
declare
    reader   regclass;
    retyping text;
begin
    if current_setting('server_version_num')::integer >= 180000 then
        perform pg_clear_attribute_stats(relnamespace::regnamespace::text, relname::text, attribute::text, inherited)
        from access.mart_relation as r
        join pg_catalog.pg_class as c on c.oid = r.relation
        cross join access.unsampled_columns(r.relation, day) as attribute
        cross join (values (false), (true)) as kinds (inherited)
        where r.mart = forget_values.mart;
        return;
    end if;
    -- Before 18 it lets go of a column's sample only when the column changes its type: to its own, without a rewrite.
    -- No view may read the column meanwhile.
    if exists (
        select from access.mart_relation as r cross join access.sampled_columns(r.relation, day)
        where r.mart = forget_values.mart
    ) then
        for reader in
            select distinct ev_class::regclass
            from pg_catalog.pg_depend
            join pg_catalog.pg_rewrite on pg_rewrite.oid = objid
            where classid = 'pg_rewrite'::regclass and refobjid = mart
        loop
            execute format('drop view %s', reader);
        end loop;
        select string_agg(format('alter column %I type %s', attname, format_type(atttypid, atttypmod)), ', ')
        from access.unsampled_columns(mart, day) as attribute
        join pg_catalog.pg_attribute on attrelid = mart and attname = attribute
        into retyping;
        execute format('alter table %s %s', mart, retyping);
    end if;
end
$$;

-- The group that each mart was made in. It never follows the YAML by itself: that would open two years to others.
create table if not exists access.mart (
    relation regclass primary key,
    mart_group text not null
);

create or replace function access.protect(mart regclass, mart_group text, day name) returns void
language plpgsql
as $$
declare
    part regclass;
begin
    insert into access.mart (relation, mart_group) values (mart, mart_group) on conflict do nothing;
    for part in select r.relation from access.mart_relation as r where r.mart = protect.mart loop
        perform access.guard(part, mart_group, day);
    end loop;
    execute format('grant select on %s to %I', mart, access.table_reader(mart_group));
end
$$;

-- The relations of a mart that are not guarded as `protect` would guard them.
create or replace function access.unguarded(mart regclass, mart_group text, day name) returns setof regclass
stable
begin atomic
    select r.relation
    from access.mart_relation as r
    inner join pg_catalog.pg_class as c on r.relation = c.oid
    where
        r.mart = unguarded.mart
        and (
            not (c.relrowsecurity and c.relforcerowsecurity)
            or exists (
                select
                from access.unsampled_columns(c.oid, day) as unsampled
                inner join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attname = unsampled
                where a.attstattarget is distinct from 0
            )
            or array[
                ('builder', '*', true, array[c.relowner], 'true', 'true')::text,
                (
                    'own_rows', 'r', true, array[to_regrole(quote_ident(access.table_reader(mart_group)))::oid],
                    access.own_rows(mart_group, day), null
                )::text
            ] is distinct from (
                select
                    array_agg(
                        (
                            polname, polcmd, polpermissive, polroles,
                            pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)
                        )::text
                        order by polname
                    )
                from pg_catalog.pg_policy
                where polrelid = c.oid
            )
        );
end;

drop view if exists access.word; -- of an earlier callmart

-- A month of a partitioned table, guarded like its parent; a parent that has lost its guard gets none. True where it
-- was made.
create or replace function access.ensure_month(parent regclass, month date) returns boolean
language plpgsql
set timezone = 'UTC'
as $$
declare
    parent_schema text;
    parent_name   text;
    protected     boolean;
    partition     text;
    mart_group    text;
    day           name;
begin
    select nspname, relname, relrowsecurity into strict parent_schema, parent_name, protected
    from pg_catalog.pg_class as c
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    where c.oid = parent;
    partition := format('%I.%I', parent_schema, parent_name || to_char(month, '_YYYYMM'));
    if to_regclass(partition) is not null then
        return false;
    end if;

    execute format('create table %s (like %s including defaults including constraints)', partition, parent);
    if protected then
        select substring(rolname from '_shows_([a-z]+)$') into strict mart_group
        from pg_catalog.pg_policy join pg_catalog.pg_roles on pg_roles.oid = any(polroles)
        where polrelid = parent and polname = 'own_rows';
        select attname into strict day
        from pg_catalog.pg_partitioned_table join pg_catalog.pg_attribute on attrelid = partrelid and attnum = partattrs[0]
        where partrelid = parent;
        perform access.guard(partition::regclass, mart_group, day);
    end if;
    -- Made, then attached: the parent is locked less than by CREATE TABLE … PARTITION OF.
    execute format(
        'alter table %s attach partition %s for values from (%L) to (%L)',
        parent, partition, date_trunc('month', month)::date, (date_trunc('month', month) + interval '1 month')::date
    );
    return true;
end
$$;

-- Which text of this file, and with which time zone, made the database what it is.
create table if not exists access.applied (
    fingerprint text not null
);

-- What `access.sync` has granted because a contract opens it; whatever else is there is drift.
create table if not exists access.granted (
    role name not null,
    member name not null,
    primary key (role, member)
);

-- The roles of customers that are still to be closed: to be dropped, or where the contract stands to log in no more.
-- They are noted with the memberships that they lose, so that the next run finds those that the last one could not
-- close.
create table if not exists access.closing (
    role name primary key
);

-- ANALYZE leaves what it once sampled of a table that is empty now. PostgreSQL lets go of it from version 18 on.
create or replace function access.forget_samples(emptied regclass) returns void
language plpgsql
as $$
declare
    filled boolean;
begin
    execute format('select exists (select from %s)', emptied) into filled;
    if not filled and current_setting('server_version_num')::integer >= 180000 then
        perform pg_clear_attribute_stats(schemaname::text, tablename::text, attname::text, inherited)
        from pg_catalog.pg_stats
        where format('%I.%I', schemaname, tablename)::regclass = emptied;
    end if;
end
$$;
