-- access: who a session is, and how far back it may look.

-- The functions have SQL-standard bodies, which are parsed now. In a string body a caller's pg_temp.text or
-- pg_temp.date would replace the real type. The planner folds the first two functions into constants: they cost
-- nothing, and no condition of a reader is evaluated before them. PostgreSQL makes a new plan per role only for queries
-- that read a protected table, so use them only in policies and views of such tables.

create or replace function access.current_customer() returns integer
immutable
parallel safe
return substring(current_user from '_customer_([0-9]+)$')::integer;

-- An array whose only element, at the reader's customer number, is true; null for a role that is not a customer. It
-- does not call the function above: since version 18 PostgreSQL caches the plan of a function's body, and the plan
-- would keep the number when the session changes its role.
create or replace function access.own() returns boolean[]
immutable
parallel safe
return case
    when current_user ~ '_customer_[0-9]+$'
        then array_fill(true, array[1], array[substring(current_user from '[0-9]+$')::integer])
end;

-- The oldest day that is kept today. `floor_on` in retention/expiry_plan.py says the same of any day.
create or replace function access.retention_floor() returns date
stable
parallel safe
return ((now() at time zone {time_zone}) - interval '2 years')::date;

-- The moment at which a day begins on a clock. If clocks go back over midnight, it comes twice, and the day begins at
-- the first one. PostgreSQL takes the second one, an hour into the day. The planner puts the expression in the place of
-- the call, so it can bound an index. In a statement on events or calls, call it in a subquery that reads neither: the
-- rest can run on a node of a cluster, which has it only for a build.
create or replace function access.begin_of_day(day date, zone text) returns timestamptz
stable
parallel safe
return case
    when ((day::timestamp at time zone zone - interval '1 hour') at time zone zone)::date = day
        then day::timestamp at time zone zone - interval '1 hour'
    else day::timestamp at time zone zone
end;

-- The condition for the rows of a mart that a customer sees: its own, of days that are not too old. The first part
-- costs nothing. The second part says the same in a form that indexes and pruning can use. The text is as PostgreSQL
-- prints it, so that policies can be compared with it.
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

-- Each group of marts has roles that cannot log in. `reads`: the group's readers, whose members are customers or
-- duties. `shows`, for customers' marts: the owner of their views. It has no members that inherit its rights.
create or replace function access.readers(mart_group text) returns name
stable
return current_database() || '_reads_' || mart_group;

create or replace function access.shows(mart_group text) returns name
stable
return current_database() || '_shows_' || mart_group;

-- The role that reads the tables of a group. Customers read only its views.
create or replace function access.table_reader(mart_group text) returns name
stable
return case when mart_group = 'usage' then access.readers(mart_group) else access.shows(mart_group) end;

-- The groups of marts that customers read.
create or replace function access.groups() returns text[]
immutable
return {groups};

-- The tables that callmart reads whole, and customers in part, by views (objects/shown.sql). Beside the marts, no other
-- table has row security.
create or replace function access.shared() returns text[]
immutable
return array[
    'registry.customer', 'registry.queue', 'registry.line', 'registry.opening_hours', 'registry.holiday',
    'ops.opened_day', 'ops.held_back'
];

do $$
declare
    wanted name;
begin
    for wanted in
        select access.readers(mart_group) from unnest(access.groups() || array['usage']) as mart_group
        union all
        select access.shows(mart_group) from unnest(access.groups()) as mart_group
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

-- The columns of a mart of which the planner may not keep a sample: all but the customer and the day. Anybody can see
-- the planner's estimates with EXPLAIN, and with samples they would reveal the values of other customers.
create or replace function access.unsampled_columns(relation regclass, day name) returns setof name
stable
begin atomic
    select attname
    from pg_catalog.pg_attribute
    where attrelid = relation and attnum > 0 and not attisdropped and attname not in ('customer_id', coalesce(day, ''));
end;

-- Keep the planner from sampling columns of a relation, where it is not kept from that yet. A sample that is there is
-- deleted, which is possible since PostgreSQL 18.
create or replace function access.unsample(relation regclass, unsampled name[]) returns void
language plpgsql
as $$
declare
    there   integer;
    changes text;
begin
    select
        count(*),
        string_agg(format('alter column %I set statistics 0', attname), ', ')
            filter (where attstattarget is distinct from 0)
    into there, changes
    from pg_catalog.pg_attribute
    where attrelid = relation and attnum > 0 and not attisdropped and attname = any(unsampled);
    if there < cardinality(unsampled) then
        raise exception 'a column of % that may not be sampled is not there', relation;
    end if;
    if changes is not null then
        execute format('alter table only %s %s', relation, changes);
        if current_setting('server_version_num')::integer >= 180000 then
            perform pg_clear_attribute_stats(relnamespace::regnamespace::text, relname::text, attribute::text, false)
            from pg_catalog.pg_class cross join unnest(unsampled) as attribute
            where oid = relation and reltuples > 0;
        end if;
    end if;
end
$$;

-- Without this the planner's statistics would keep a sample of removed personal data.
select access.unsample(sampled.relation::regclass, sampled.columns::name[])
from (
    values
    ('registry.agent', array['agent', 'name', 'email']),
    ('registry.customer', array['name']),
    ('registry.contact', array['name', 'email']),
    ('registry.recipient', array['email']),
    ('registry.queue', array['queue', 'label', 'service_level_s', 'service_level_target', 'short_abandon_s']),
    ('registry.line', array['line', 'label', 'channels']),
    ('registry.opening_hours', array['queue', 'valid_from', 'valid_until', 'weekday', 'call_date', 'opens', 'closes']),
    ('registry.holiday', array['queue', 'call_date']),
    ('registry.status_word', array['word'])
) as sampled (relation, columns);

-- Guard a relation: row-level security that also applies to its owner, a policy for the builder, a policy for the role
-- that reads the table, no grants, and no samples.
create or replace function access.guard(relation regclass, mart_group text, day name) returns void
language plpgsql
as $$
declare
    other text;
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
    perform access.unsample(relation, array(select access.unsampled_columns(relation, day)));
end
$$;

-- Each mart with its partitions and itself. Whoever reads a partition directly meets only the partition's policies, so
-- each has its own. Only the mart itself has grants.
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

-- The columns of a relation of which the planner has a sample although it should not. Row-level security hides the
-- samples even from the owner, but estimates reveal them. For values below the smallest possible one the planner
-- estimates a third of the rows if it has no sample, and almost none if it has one.
create or replace function access.sampled_columns(relation regclass, day name) returns setof name
language plpgsql
as $$
declare
    attribute record;
    expected  jsonb;
    of_all    numeric;
begin
    execute format('explain (format json) select 1 from only %s', relation) into expected;
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
            'explain (format json) select 1 from only %s where %I < %L', relation, attribute.attname, attribute.smallest
        ) into expected;
        if (expected #>> '{{0, Plan, Plan Rows}}')::numeric < of_all / 4 then
            return next attribute.attname;
        end if;
    end loop;
end
$$;

-- Delete the planner's samples of a mart. Setting statistics to 0 and running ANALYZE would keep the old ones.
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
    -- Before version 18 PostgreSQL deletes a column's sample only when the type of the column is changed. We change it
    -- to the type that it has, which rewrites nothing. No view may use the column meanwhile.
    if exists (
        select 1 from access.mart_relation as r cross join access.sampled_columns(r.relation, day)
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
                select 1
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

-- The name of the month's partition of a table.
create or replace function access.partition_of(parent text, day date) returns text
stable
return parent || to_char(day, '_YYYYMM');

-- Let what is done with the tables of a cluster's nodes be repeated there, or nothing any more, until the transaction
-- ends. It means nothing on one machine.
create or replace function access.repeat_on_nodes(wanted boolean) returns void
language plpgsql
as $$
begin
    perform set_config('citus.enable_ddl_propagation', wanted::text, true);
end
$$;

-- Make a month's partition of a table, guarded like the table. If the table has lost its guard, the partition gets
-- none. Returns whether the partition was made now.
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
    partition := format('%I.%I', parent_schema, access.partition_of(parent_name, month));
    if to_regclass(partition) is not null then
        return false;
    end if;

    perform access.repeat_on_nodes(true);
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
    -- Attaching takes a weaker lock on the parent than CREATE TABLE … PARTITION OF.
    execute format(
        'alter table %s attach partition %s for values from (%L) to (%L)',
        parent, partition, date_trunc('month', month)::date, (date_trunc('month', month) + interval '1 month')::date
    );
    perform access.repeat_on_nodes(false);
    return true;
end
$$;

-- Delete the planner's samples of an emptied table: ANALYZE leaves them there. Possible since PostgreSQL 18.
create or replace function access.forget_samples(emptied regclass) returns void
language plpgsql
as $$
declare
    filled boolean;
    its_schema name;
    its_name name;
begin
    execute format('select exists (select 1 from %s)', emptied) into filled;
    if not filled and current_setting('server_version_num')::integer >= 180000 then
        select relnamespace::regnamespace::text, relname into its_schema, its_name
        from pg_catalog.pg_class
        where oid = emptied;
        -- Compared as names, so that the view's index is used: it shows only what the asker may see.
        perform pg_clear_attribute_stats(schemaname::text, tablename::text, attname::text, inherited)
        from pg_catalog.pg_stats
        where schemaname = its_schema and tablename = its_name;
    end if;
end
$$;
