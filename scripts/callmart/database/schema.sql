-- Everything in the database that dbt does not make: applied whole, in one transaction, as often as one likes.
-- What stands in braces is filled in by schema.py.

-- A function is nobody's but its owner's until access.yml gives it.
alter default privileges revoke execute on functions from public;

create schema if not exists registry;
create schema if not exists raw;
create schema if not exists build;
create schema if not exists store;
create schema if not exists mart;
create schema if not exists usage;
create schema if not exists access;
create schema if not exists ops;

-- registry: who the customers are and what they have ordered -----------------------------------------------------

create table if not exists registry.version (
    version    integer generated always as identity primary key,
    applied_at timestamptz not null default now()
);

create table if not exists registry.customer (
    customer_id      integer primary key check (customer_id > 0),
    name             text not null,
    time_zone        text not null,
    locale           text not null,
    anonymous_agents boolean not null,
    connection       text not null,
    sql_login        boolean not null default false,
    service_level_s  integer not null,
    short_abandon_s  integer not null,
    key_fingerprint  text -- a lost key is noticed, never silently replaced; null: never had a contract
);

alter table registry.customer add column if not exists sql_login boolean not null default false;

create table if not exists registry.contract (
    customer_id integer not null references registry.customer on delete cascade,
    option      text not null check (option in ('standard', 'detailed')), -- a gap is none
    valid_from  date not null,
    valid_until date, -- exclusive; null is open
    primary key (customer_id, valid_from),
    check (valid_from < valid_until)
);

-- What each customer has ordered today, by its own clock; a customer without a contract has no row.
create or replace view registry.current_option as
select c.customer_id, k.option
from registry.customer as c
join registry.contract as k
    on k.customer_id = c.customer_id
    and k.valid_from <= (now() at time zone c.time_zone)::date
    and ((now() at time zone c.time_zone)::date < k.valid_until or k.valid_until is null);

-- The customers whose role may log in: those who ordered it, by itself or with live data sources.
create or replace view registry.ordered_login as
select o.customer_id
from registry.current_option as o
join registry.customer as c using (customer_id)
where c.sql_login or c.connection = 'live';

-- What each customer's contract keeps today: the contracts of the span without a gap that covers today, by the
-- customer's own clock. A span that is over or has not begun keeps nothing, so a customer with nothing today has no
-- row. What was detailed before standard came is standard now: agents' data is kept for the days of the detailed
-- period that covers today, and of those to come.
create or replace view registry.kept_contract as
with contracts as (
    select
        k.*,
        (now() at time zone c.time_zone)::date as today,
        k.valid_from is distinct from lag(k.valid_until) over (
            partition by k.customer_id order by k.valid_from
        ) as after_gap
    from registry.contract as k
    join registry.customer as c using (customer_id)
),

numbered as (
    select *, count(*) filter (where after_gap) over (partition by customer_id order by valid_from) as span_no
    from contracts
),

spans as (
    select
        *,
        bool_or(valid_from <= today and (today < valid_until or valid_until is null)) over span as covers_today,
        max(valid_from) filter (where option = 'standard' and valid_from <= today) over span as last_standard
    from numbered
    window span as (partition by customer_id, span_no)
)

select
    customer_id,
    case when valid_from < last_standard then 'standard' else option end as option,
    valid_from,
    valid_until
from spans
where covers_today;

create table if not exists registry.queue (
    customer_id     integer not null references registry.customer on delete cascade,
    queue           text not null,
    label           text,
    service_level_s integer not null,
    short_abandon_s integer not null,
    primary key (customer_id, queue)
);

create table if not exists registry.status_word (
    customer_id integer not null references registry.customer on delete cascade,
    word        text not null,
    status      text not null,
    primary key (customer_id, word)
);

-- The only place where a key meets an id or a name.
create table if not exists registry.agent (
    customer_id integer not null references registry.customer on delete cascade,
    agent_key   text not null,
    agent       text, -- the id at the source
    name        text,
    email       text,
    last_day    date, -- of its last event under a detailed contract; null: never seen
    primary key (customer_id, agent_key)
);

create table if not exists registry.contact (
    customer_id integer not null references registry.customer on delete cascade,
    email       text not null,
    name        text not null,
    authorised  boolean not null,
    primary key (customer_id, email)
);

create table if not exists registry.recipient (
    customer_id integer not null references registry.customer on delete cascade,
    email       text not null,
    reports     text[] not null,
    primary key (customer_id, email)
);

-- What a report calls an agent: one rule for the mart and for every later renaming.
create or replace function registry.agent_label(customer integer, key text) returns text
stable
return coalesce(
    (
        select case when not c.anonymous_agents then coalesce(a.name, a.agent) end
        from registry.customer as c
        left join registry.agent as a on a.customer_id = c.customer_id and a.agent_key = key
        where c.customer_id = customer
    ),
    'agent-' || left(key, 10)
);

-- ops: what was done, and what is to be done --------------------------------------------------------------------

create table if not exists ops.audit_log (
    entry       bigint generated always as identity primary key,
    at          timestamptz not null default clock_timestamp(),
    actor       text not null default session_user,
    action      text not null,
    customer_id integer,
    details     jsonb not null default '{{}}'
);

create or replace function ops.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'the audit log is append-only';
end
$$;

create or replace trigger append_only
before update or delete or truncate on ops.audit_log
for each statement execute function ops.refuse_change();

-- The day on which something last began: a clock that has jumped from it is not believed (clock.py).
create table if not exists ops.clock (
    one_row boolean primary key default true check (one_row),
    day     date not null
);

create sequence if not exists ops.mark;

-- A customer's day whose marts no longer say what raw says. A newer mark survives the opening of an older build.
create table if not exists ops.dirty_day (
    customer_id integer not null,
    call_date   date not null,
    mark        bigint not null default nextval('ops.mark'),
    cause       text not null,
    primary key (customer_id, call_date)
);

create table if not exists ops.build (
    build_id     bigint generated always as identity primary key,
    built_at     timestamptz not null default clock_timestamp(),
    days         integer not null,
    tables       jsonb not null, -- mart: the table in which its window was computed
    validated_at timestamptz,
    opened_at    timestamptz
);

create table if not exists ops.quality_result (
    build_id    bigint not null references ops.build on delete cascade,
    mart        text not null,
    expectation text not null,
    severity    text not null,
    success     boolean not null,
    primary key (build_id, mart, expectation)
);

-- The days that do not meet an expectation: keys only.
create table if not exists ops.quality_failure (
    build_id    bigint not null,
    mart        text not null,
    expectation text not null,
    customer_id integer not null,
    call_date   date not null,
    primary key (build_id, mart, expectation, customer_id, call_date),
    foreign key (build_id, mart, expectation) references ops.quality_result on delete cascade
);

create index if not exists quality_failure_by_day on ops.quality_failure (customer_id, call_date);

create table if not exists ops.held_back (
    customer_id    integer not null,
    call_date      date not null,
    build_id       bigint not null,
    cause          text not null, -- the checks that the day fails, as `mart: expectation`
    since          timestamptz not null default clock_timestamp(),
    released_at    timestamptz, -- released, the day is opened by the next run although it fails the same checks
    released_by    text,
    release_reason text,
    primary key (customer_id, call_date)
);

-- What `open` put into a mart: what an extract must add up to. call_date is -infinity in a mart without days.
create table if not exists ops.opened_day (
    customer_id integer not null,
    call_date   date not null,
    mart        text not null,
    row_count   bigint not null,
    build_id    bigint not null,
    primary key (customer_id, call_date, mart)
);

create table if not exists ops.extract (
    customer_id  integer not null,
    mart_group   text not null,
    content_hash text not null,
    row_count    bigint not null,
    basis        jsonb not null, -- what it was made from; the same basis gives the same rows
    written_at   timestamptz not null default clock_timestamp(),
    primary key (customer_id, mart_group)
);

-- Where rows were deleted: noted in the same transaction, so that the planner's samples of them go even after a crash.
create table if not exists ops.to_vacuum (
    relation text primary key
);

create table if not exists ops.publication (
    customer_id    integer primary key,
    state          text not null,
    project_id     text, -- Tableau's LUID; null: not made yet, or from before
    is_from_before boolean not null default false, -- published when nothing bore an installation's mark yet
    at             timestamptz not null default clock_timestamp()
);

-- It held the project's name, which holds the customer's.
do $$
begin
    if exists (
        select from pg_attribute
        where attrelid = 'ops.publication'::regclass and attname = 'project' and not attisdropped
    ) then
        alter table ops.publication
            add column if not exists project_id text,
            add column if not exists is_from_before boolean not null default false;
        update ops.publication set project = null, is_from_before = true;
        alter table ops.publication drop column project;
        insert into ops.to_vacuum (relation) values ('ops.publication') on conflict do nothing;
    end if;
end
$$;

-- The contracts that the days were last marked by; registry.kept_contract changes with the calendar, too.
create table if not exists ops.followed_contract (
    customer_id integer not null,
    option      text not null,
    valid_from  date not null,
    valid_until date,
    primary key (customer_id, valid_from)
);

-- raw: the events, without a number or a name ------------------------------------------------------------------

create table if not exists raw.file (
    file_id              bigint generated always as identity primary key,
    name                 text not null,
    sha256               text not null,
    landed_at            timestamptz not null default clock_timestamp(),
    registry_version     integer not null,
    asked                text not null, -- format, customer, platform and time zone that it was landed with
    row_count            bigint not null,
    landed               bigint, -- events, of which a row can be several
    repeated             bigint,
    rejected             bigint not null,
    turned_away          bigint not null,
    incomplete_last_line boolean not null
);

create index if not exists file_by_content on raw.file (sha256);

-- Whom a file reached, and from which to which of the customer's days: where to look for what a contract no longer
-- keeps.
create table if not exists raw.file_customer (
    file_id     bigint not null references raw.file on delete cascade,
    customer_id integer not null,
    first_day   date, -- null: it was landed for the customer and brought nothing
    last_day    date,
    events      bigint not null,
    primary key (customer_id, file_id)
);

create index if not exists file_customer_by_file on raw.file_customer (file_id);

create table if not exists raw.reject (
    file_id     bigint not null references raw.file on delete cascade,
    line_number bigint not null,
    reason      text not null
);

create table if not exists raw.event (
    customer_id     integer not null,
    occurred_at     timestamptz not null,
    event_key       bigint not null, -- with customer and moment, what makes it this event and no other
    ordinal         integer not null default 0, -- among equal rows of one file
    platform        text not null,
    event           text not null,
    file_id         bigint not null, -- the first file that brought it
    line_number     bigint, -- where the source has an order of its own; null: rows may come in any
    call_key        bigint, -- of the platform's call; null where the event is of no call
    call_id         text,
    queue           text,
    agent_key       text,
    number_key      text,
    number_withheld boolean,
    line            text,
    device_key      text,
    direction       text,
    reason          text,
    target          text,
    target_key      text,
    target_kind     text,
    duration_s      double precision,
    wait_s          double precision,
    recorded        boolean,
    primary key (customer_id, occurred_at, event_key, ordinal)
) partition by range (occurred_at);

create index if not exists event_by_agent on raw.event (customer_id, agent_key, occurred_at) where call_key is null;

-- Logins, memberships and wrap-ups are looked for a month back, and most of what stands there are statuses.
create index if not exists event_by_agent_but_status on raw.event (customer_id, agent_key, occurred_at)
where call_key is null and event <> 'agent_status';

-- Who called when: read of the six days before each, and of them nothing else.
create index if not exists event_of_caller on raw.event (customer_id, occurred_at)
include (event, call_key, queue, number_key)
where event in ('call_started', 'queue_joined');

-- From when to when a call has events, so that a day's build finds the few that it shares with another day. Phases
-- that the source measured itself can reach back before the first event.
create table if not exists raw.call (
    customer_id integer not null,
    call_key    bigint not null,
    first_at    timestamptz not null,
    last_at     timestamptz not null,
    spans_days  boolean not null, -- on the customer's clock
    primary key (customer_id, call_key)
);

create index if not exists call_over_days on raw.call (customer_id, last_at) where spans_days;
create index if not exists call_by_end on raw.call (customer_id, last_at); -- which calls expire

-- Where a file arrives, with its rejects and the ids behind its keys; empty outside the transaction that lands one.
create unlogged table if not exists raw.incoming_reject (
    line_number bigint not null,
    reason      text not null
);

create unlogged table if not exists raw.incoming_agent (
    customer_id integer not null,
    agent_key   text not null,
    agent       text not null,
    last_at     timestamptz not null
);

create unlogged table if not exists raw.incoming (
    customer_id     integer not null,
    occurred_at     timestamptz not null,
    event_key       bigint not null,
    ordinal         integer not null default 0,
    identified      boolean not null, -- by the source's own event_id
    platform        text not null,
    event           text not null,
    line_number     bigint,
    call_key        bigint,
    call_id         text,
    queue           text,
    agent_key       text,
    number_key      text,
    number_withheld boolean,
    line            text,
    device_key      text,
    direction       text,
    reason          text,
    target          text,
    target_key      text,
    target_kind     text,
    duration_s      double precision,
    wait_s          double precision,
    recorded        boolean
);

-- usage: statistics over all customers ---------------------------------------------------------------------------
-- What the frozen months of usage.function_month were made of; dbt adds to it (models/marts/usage). Nobody is granted
-- it, so it does not stand in `usage`.

create table if not exists raw.function_use (
    month       date not null,
    function    text not null,
    customer_id integer not null,
    uses        bigint not null,
    primary key (month, function, customer_id)
);

-- build: the window that dbt computes ----------------------------------------------------------------------------

create table if not exists build.window (
    customer_id integer not null,
    call_date   date not null,
    mark        bigint not null,
    reached     boolean not null default false, -- not changed itself: for the marts that look back at one that has
    primary key (customer_id, call_date)
);

-- access: who a session is, and how far back it may look -------------------------------------------------------------
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
select mart.oid::regclass as mart, coalesce(part.relid, mart.oid)::regclass as relation
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
    relation   regclass primary key,
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
    join pg_catalog.pg_class as c on c.oid = r.relation
    where
        r.mart = unguarded.mart
        and (
            not (c.relrowsecurity and c.relforcerowsecurity)
            or exists (
                select
                from access.unsampled_columns(c.oid, day) as unsampled
                join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attname = unsampled
                where a.attstattarget is distinct from 0
            )
            or array[
                ('builder', '*', true, array[c.relowner], 'true', 'true')::text,
                (
                    'own_rows', 'r', true, array[to_regrole(quote_ident(access.table_reader(mart_group)))::oid],
                    access.own_rows(mart_group, day), null
                )::text
            ] is distinct from (
                select array_agg(
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
    role   name not null,
    member name not null,
    primary key (role, member)
);

-- The roles of customers that are still to be closed: to be dropped, or where the contract stands to log in no more. They
-- are noted with the memberships that they lose, so that the next run finds those that the last one could not close.
create table if not exists access.closing (
    role name primary key
);

-- Landing: functions of the owner, so that who lands need not read -------------------------------------------------

-- The words of the raw format (raw_format.py): what an event is called, and what it may tell.
create or replace view raw.known_event as
select *
from (values {events}) as known (event, reasons, tells_number, ends_phase, kinds, directions);

-- Whether a text has the form of a key that callmart makes (keys.py): 128 bits in hex. Asked of each key of a file, so
-- not by a regular expression, which takes ten times as long. `~` before a key is for those that privacy work will make.
create or replace function raw.is_key(key text) returns boolean
stable
parallel safe
return octet_length(key) = 32 and key = lower(key collate "C") and pg_input_is_valid(key, 'uuid');

-- Refuse what `prepare` would never have handed over. Whoever lands may be somebody else with its password, so nothing
-- that protects a person, or bounds a table, is believed. That a row is complete is not asked: that harms only numbers of
-- the customer whose it is. One reading of all rows; what is asked is asked of the few groups that they make up.
create or replace function raw.refuse_unprepared(
    row_count bigint, rejected bigint, turned_away bigint, turned_away_by jsonb
) returns void
language plpgsql
set enable_sort = off -- nobody has counted the rows that came, and sorting them takes four times as long as hashing
as $$
declare
    latest constant timestamptz := now() + interval '1 day';
    fault text;
begin
    -- Read again by raw.keep, which asks which of these customers and moments lie under a contract.
    create temporary table arrived on commit drop as
    select
        customer_id, platform, event, reason, direction, target_kind, number_withheld,
        min(occurred_at) as first_at,
        max(occurred_at) as last_at,
        count(queue) as queues,
        count(agent_key) as agents,
        count(number_key) as numbers,
        count(line) as lines,
        count(device_key) as devices,
        count(target) as targets,
        count(target_key) as target_keys,
        count(recorded) as recordings,
        count(duration_s) as durations,
        least(min(duration_s), min(wait_s)) as shortest_s,
        greatest(max(duration_s), max(wait_s)) as longest_s, -- NaN is greater than any number
        greatest(max(length(call_id)), max(length(queue)), max(length(line)), max(length(target))) as longest_text,
        bool_and(
            (agent_key is null or raw.is_key(agent_key))
            and (number_key is null or raw.is_key(number_key))
            and (device_key is null or raw.is_key(device_key))
            and (target_key is null or raw.is_key(target_key))
        ) as keyed
    from raw.incoming
    group by customer_id, platform, event, reason, direction, target_kind, number_withheld;

    select
        case
            when not keyed then 'what stands for a person is no key'
            when platform <> all ({platforms}) then 'a platform is not one of the raw format'
            when known.event is null then 'an event is not one of the raw format'
            when reason is not null and reason <> all (known.reasons) then 'a reason is not one of the event''s'
            when direction is not null and direction <> all (known.directions) then 'a direction is not one of the event''s'
            when target_kind is not null and target_kind <> all (known.kinds) then 'a target_kind is not one of the event''s'
            when numbers > 0 and (number_withheld or not known.tells_number) then 'a number is withheld or not told'
            when platform = any ({line_platforms}) and queues + agents + devices > 0 then 'a line has no queues and no agents'
            when platform <> all ({line_platforms}) and lines > 0 then 'a device is no line'
            when targets > 0 and target_kind is distinct from 'queue' then 'a target that is no queue is kept as its key'
            when target_keys > 0 and coalesce(target_kind not in ('agent', 'number'), true) then 'a target has no key'
            when recordings > 0 and arrived.event <> 'call_ended' then 'a recording is told of before the call''s end'
            when durations > 0 and not known.ends_phase then 'a duration is of an event that ends nothing'
            when shortest_s < 0 or longest_s > {longest_duration_s} then 'a duration is negative or far too long'
            when longest_text > {longest_text} then 'a text is too long'
            when last_at > latest then 'an event is more than a day ahead of the database''s clock'
        end as found
    into fault
    from arrived left join raw.known_event as known using (event)
    order by found
    limit 1;

    -- Ids of agents: of known customers whose agents have names, of days that are kept under a detailed contract.
    fault := coalesce(fault, (
        select
            case
                when not raw.is_key(i.agent_key) then 'what stands for an agent is no key'
                when i.agent = '' or length(i.agent) > {longest_text} then 'an agent''s id is empty or too long'
                when i.last_at > latest then 'an agent was seen more than a day ahead of the database''s clock'
                when c.anonymous_agents is not false then 'an anonymous agent has an id'
                when not exists (
                    select
                    from registry.kept_contract as k
                    where
                        k.customer_id = i.customer_id
                        and k.option = 'detailed'
                        and (i.last_at at time zone c.time_zone)::date
                        <@ daterange(greatest(k.valid_from, access.retention_floor()), k.valid_until)
                )
                    then 'an agent has an id outside of a detailed contract'
            end as found
        from raw.incoming_agent as i
        left join registry.customer as c using (customer_id)
        order by found
        limit 1
    ));

    fault := coalesce(fault, (
        select
            case
                when
                    count(*) filter (
                        where customer <> 'null' and not exists (
                            select from registry.customer as c where c.customer_id::text = t.customer
                        )
                    ) > 0
                    then 'rows were turned away of a customer that is not in the registry'
                when
                    bool_or(rows !~ '^[1-9]\d{{0,14}}$')
                    or coalesce(sum(case when rows ~ '^\d{{1,15}}$' then rows::bigint end), 0) <> turned_away
                    or least(rejected, turned_away) < 0
                    or greatest(rejected, turned_away) > row_count
                    or rejected <> (select count(*) from raw.incoming_reject)
                    then 'the counts do not add up'
            end
        from jsonb_each_text(turned_away_by) as t (customer, rows)
    ));

    if fault is not null then
        raise check_violation using message = fault;
    end if;
end
$$;

-- Leave in raw.incoming what is new, each event once. Equal rows of one file are several events, told apart by an
-- ordinal, unless their source identifies them: then they are one. Reads the `brought` of raw.merge_incoming.
create or replace function raw.drop_repeated() returns void
language plpgsql
set work_mem = '256MB' -- a file of millions is grouped in memory
set max_parallel_workers_per_gather = 0 -- what workers grouped would nearly all be grouped again
as $$
begin
    create temporary table equal_row on commit drop as
    select
        ctid as place,
        identified,
        row_number() over (partition by customer_id, occurred_at, event_key order by line_number) - 1 as ordinal
    from raw.incoming
    where event_key in (select event_key from raw.incoming group by event_key having count(*) > 1);
    delete from raw.incoming as i using equal_row as e where i.ctid = e.place and e.identified and e.ordinal > 0;
    update raw.incoming as i
    set ordinal = e.ordinal
    from equal_row as e
    where i.ctid = e.place and not e.identified and e.ordinal > 0;
    drop table equal_row;

    -- Asked first, because new data seldom meets old: then no row needs looking up.
    if exists (
        select
        from brought as b
        cross join lateral (
            select
            from raw.event as e
            where e.customer_id = b.customer_id and e.occurred_at between b.first_at and b.last_at
            order by e.occurred_at
            limit 1
        ) as known
    ) then
        delete from raw.incoming as i
        using raw.event as e
        where
            e.customer_id = i.customer_id
            and e.occurred_at = i.occurred_at
            and e.event_key = i.event_key
            and e.ordinal = i.ordinal;
    end if;
end
$$;

-- What an agent's event outside of calls begins or ends: nothing of another kind cuts it short.
create or replace function raw.phase_of(event text, device_key text, queue text) returns text
immutable
return case -- a status and a wrap-up are the agent's, wherever they were told
    when event in ('agent_logged_in', 'agent_logged_out') then 'login ' || coalesce(device_key, '')
    when event in ('agent_joined_queue', 'agent_left_queue') then 'membership ' || coalesce(queue, '')
    when event in ('wrapup_started', 'wrapup_ended') then 'wrapup'
    else event
end;

-- Keep what is new of raw.incoming, and mark every day that it reaches: the days of each call that it has a part
-- of, and of each status, login and membership that it begins, ends or cuts short.
create or replace function raw.merge_incoming(file bigint, out landed bigint, out repeated bigint)
language plpgsql
set timezone = 'UTC'
set work_mem = '256MB'
as $$
declare
    reach constant interval := '31 days'; -- how far apart the two ends of a status are looked for
begin
    -- What came, and how far the data of each customer went before, and goes now: what is open is clipped there.
    create temporary table brought on commit drop as
    select i.*, before.known_until, greatest(before.known_until, i.last_at) as now_until
    from (
        select customer_id, min(occurred_at) as first_at, max(occurred_at) as last_at, count(*) as events
        from raw.incoming
        group by customer_id
    ) as i
    left join lateral (
        select e.occurred_at as known_until
        from raw.event as e
        where e.customer_id = i.customer_id
        order by e.occurred_at desc
        limit 1
    ) as before on true;

    -- Not every month from first to last: one date far off would make thousands. Where they differ, each row is asked.
    perform access.ensure_month('raw.event', month)
    from (
        select date_trunc('month', unnest(array[first_at, last_at]))::date as month from brought
        union
        select date_trunc('month', i.occurred_at)::date
        from raw.incoming as i
        join brought as b using (customer_id)
        where date_trunc('month', b.first_at) < date_trunc('month', b.last_at)
    ) as months;

    insert into raw.file_customer (file_id, customer_id, first_day, last_day, events)
    select
        file,
        customer_id,
        (first_at at time zone time_zone)::date,
        (last_at at time zone time_zone)::date,
        events
    from brought join registry.customer using (customer_id)
    union all
    select distinct file, k.customer_id, null::date, null::date, 0
    from raw.file as f
    join registry.kept_contract as k on k.customer_id = (f.asked::jsonb ->> 1)::integer
    where f.file_id = file and not exists (select from brought as b where b.customer_id = k.customer_id);

    perform raw.drop_repeated();

    with seen as (
        select
            customer_id,
            call_key,
            min(occurred_at - make_interval(secs => coalesce(duration_s, 0) + coalesce(wait_s, 0))) as first_at,
            max(occurred_at) as last_at
        from raw.incoming
        where call_key is not null
        group by customer_id, call_key
    ),

    calls as (
        insert into raw.call as known (customer_id, call_key, first_at, last_at, spans_days)
        select
            customer_id,
            call_key,
            seen.first_at,
            seen.last_at,
            (seen.first_at at time zone time_zone)::date < (seen.last_at at time zone time_zone)::date
        from seen
        join registry.customer using (customer_id)
        on conflict (customer_id, call_key) do update
        set
            first_at = least(known.first_at, excluded.first_at),
            last_at = greatest(known.last_at, excluded.last_at),
            spans_days = (
                select
                    (least(known.first_at, excluded.first_at) at time zone time_zone)::date
                    < (greatest(known.last_at, excluded.last_at) at time zone time_zone)::date
                from registry.customer as c
                where c.customer_id = excluded.customer_id
            )
        returning known.customer_id, known.first_at, known.last_at
    ),

    -- Between the first and the last event of half a day lies no day that neither of them is of, so that only these
    -- two are looked around from.
    half_days as (
        select
            customer_id,
            agent_key,
            raw.phase_of(event, device_key, queue) as phase,
            min(occurred_at) as first_at,
            max(occurred_at) as last_at,
            min(occurred_at - least(make_interval(secs => coalesce(duration_s, 0)), reach)) as measured_from
        from raw.incoming
        where call_key is null and agent_key is not null
        group by customer_id, agent_key, phase, date_bin('12 hours', occurred_at, 'epoch')
    ),

    neighbours as (
        select
            *,
            case when first_at - lag(last_at) over one_after_another <= reach then lag(last_at) over one_after_another end
                as preceded_at,
            lead(first_at) over one_after_another as followed_at
        from half_days
        window one_after_another as (partition by customer_id, agent_key, phase order by first_at)
    ),

    -- Not materialized: each look-up takes its few rows by an index.
    told as not materialized (
        select
            customer_id,
            agent_key,
            event,
            raw.phase_of(event, device_key, queue) as phase,
            occurred_at,
            duration_s
        from raw.event
        where call_key is null
    ),

    phases as (
        select
            n.customer_id,
            least(coalesce(before.occurred_at, n.preceded_at), n.measured_from, after.measured_from) as first_at,
            -- What nothing follows goes on until the end of the data.
            coalesce(after.occurred_at, least(n.followed_at, n.last_at + reach, brought.now_until)) as last_at
        from neighbours as n
        join brought using (customer_id)
        left join lateral (
            select e.occurred_at
            from told as e
            where
                e.customer_id = n.customer_id
                and e.agent_key = n.agent_key
                and e.phase = n.phase
                and e.occurred_at >= coalesce(n.preceded_at, n.first_at - reach)
                and e.occurred_at < n.first_at
            order by e.occurred_at desc
            limit 1
        ) as before on true
        -- A moment of as many beginnings as ends leaves open what was open before it: looked past.
        left join lateral (
            select
                e.occurred_at,
                e.occurred_at - least(make_interval(secs => coalesce(e.duration_s, 0)), reach) as measured_from
            from told as e
            where
                e.customer_id = n.customer_id
                and e.agent_key = n.agent_key
                and e.phase = n.phase
                and e.occurred_at > n.last_at
                and e.occurred_at < least(n.followed_at, n.last_at + reach)
                and (
                    n.phase = 'agent_status'
                    or (
                        select
                            count(*) filter (where o.event in ('agent_logged_in', 'agent_joined_queue', 'wrapup_started'))
                            <> count(*) filter (where o.event in ('agent_logged_out', 'agent_left_queue', 'wrapup_ended'))
                        from told as o
                        where
                            o.customer_id = e.customer_id
                            and o.agent_key = e.agent_key
                            and o.phase = e.phase
                            and o.occurred_at = e.occurred_at
                    )
                )
            order by e.occurred_at, e.duration_s
            limit 1
        ) as after on true
    ),

    reached as (
        select customer_id, first_at, last_at from calls
        union all
        select customer_id, first_at, last_at from phases
        union all
        -- And what was open at the former end, until the new one.
        select customer_id, known_until, least(known_until + reach, now_until)
        from brought
        where
            known_until < now_until
            and exists (
                select
                from raw.event as e
                where
                    e.customer_id = brought.customer_id
                    and e.call_key is null
                    and e.agent_key is not null
                    and e.occurred_at between brought.known_until - reach and brought.known_until
            )
    ),

    days as (
        select distinct
            customer_id,
            (reached.first_at at time zone time_zone)::date as first_day,
            (reached.last_at at time zone time_zone)::date as last_day
        from reached
        join registry.customer using (customer_id)
    )

    insert into ops.dirty_day (customer_id, call_date, cause)
    select distinct customer_id, day::date, 'landed'
    from days, generate_series(first_day, last_day, interval '1 day') as day
    on conflict (customer_id, call_date) do update set mark = nextval('ops.mark'), cause = excluded.cause;

    insert into raw.event (
        customer_id, occurred_at, event_key, ordinal, platform, event, file_id, line_number, call_key, call_id, queue,
        agent_key, number_key, number_withheld, line, device_key, direction, reason, target, target_key, target_kind,
        duration_s, wait_s, recorded
    )
    select
        customer_id, occurred_at, event_key, ordinal, platform, event, file, line_number, call_key, call_id, queue,
        agent_key, number_key, number_withheld, line, device_key, direction, reason, target, target_key, target_kind,
        duration_s, wait_s, recorded
    from raw.incoming;
    get diagnostics landed = row_count;
    select coalesce(sum(events), 0) - landed into repeated from brought;

    drop table brought;
    truncate raw.incoming;
end
$$;

-- A customer has moved to another time zone: other calls than before lie on more than one day, and every day of its
-- calls and phases is another.
create or replace function raw.redate(customer integer) returns void
language sql
set timezone = 'UTC'
begin atomic
    update raw.call as k
    set spans_days = (k.first_at at time zone c.time_zone)::date < (k.last_at at time zone c.time_zone)::date
    from registry.customer as c
    where k.customer_id = customer and c.customer_id = customer;

    update raw.file_customer set first_day = first_day - 2, last_day = last_day + 2 where customer_id = customer;

    -- The days between the two ends of a call are marked as they were before, or opened.
    insert into ops.dirty_day (customer_id, call_date, cause)
    select distinct c.customer_id, (moment at time zone c.time_zone)::date, 'time zone'
    from registry.customer as c
    join (
        select customer_id, unnest(array[first_at, last_at]) as moment from raw.call
        union all
        select customer_id, occurred_at from raw.event where call_key is null
    ) as reached using (customer_id)
    where c.customer_id = customer
    on conflict (customer_id, call_date) do update set mark = nextval('ops.mark'), cause = excluded.cause;
end;

-- Mark the days for which another contract is kept than the one they were last marked by: by a change of the registry
-- or of the calendar. A call over midnight also gains or loses its other half with the contract of another day.
create or replace function ops.follow_contracts() returns void
language plpgsql
set timezone = 'UTC'
as $$
begin
    create temporary table kept on commit drop as select * from registry.kept_contract;
    create temporary table changed on commit drop as
    select distinct customer_id
    from (
        (select * from kept except select * from ops.followed_contract)
        union all
        (select * from ops.followed_contract except select * from kept)
    ) as difference;

    if not exists (select from changed) then
        drop table kept, changed;
        return;
    end if;

    with days as (
        select customer_id, call_date, bool_or(is_open) as is_open
        from (
            select customer_id, call_date, true as is_open from ops.opened_day where isfinite(call_date)
            union all
            select customer_id, day::date, false
            from raw.file_customer, generate_series(first_day - 1, last_day + 1, interval '1 day') as day
        ) as stored
        group by customer_id, call_date
    ),

    options as (
        select d.customer_id, d.call_date, d.is_open, f.option as old, k.option as new
        from days as d
        join changed as c on c.customer_id = d.customer_id
        left join ops.followed_contract as f
            on f.customer_id = d.customer_id
            and d.call_date >= f.valid_from
            and d.call_date < coalesce(f.valid_until, 'infinity')
        left join kept as k
            on k.customer_id = d.customer_id
            and d.call_date >= k.valid_from
            and d.call_date < coalesce(k.valid_until, 'infinity')
    ),

    -- A day that was kept and not opened is still dirty; one that was not may be no more, though raw holds it.
    held as (
        select o.customer_id, o.call_date, o.old, o.new
        from options as o
        join registry.customer as c on c.customer_id = o.customer_id
        cross join lateral (
            select
                o.call_date::timestamp at time zone c.time_zone as begins_at,
                (o.call_date + 1)::timestamp at time zone c.time_zone as ends_at
        ) as day
        where
            o.is_open
            or o.old is null
            and o.new is not null
            and (
                exists (
                    select from raw.event as e
                    where e.customer_id = o.customer_id and e.occurred_at >= begins_at and e.occurred_at < ends_at
                )
                or exists (
                    select from raw.call as k
                    where
                        k.customer_id = o.customer_id
                        and k.spans_days
                        and k.last_at >= begins_at
                        and k.first_at < ends_at
                )
            )
    ),

    turned as (
        select customer_id, call_date from held where (old is null) <> (new is null)
    ),

    reached as (
        select customer_id, call_date from held where old is distinct from new
        union
        select customer_id, call_date + beside from turned, unnest(array[-1, 1]) as beside
        union
        select t.customer_id, day::date
        from turned as t
        join registry.customer as c on c.customer_id = t.customer_id
        join raw.call as k
            on k.customer_id = t.customer_id
            and k.spans_days
            and k.last_at >= t.call_date::timestamp at time zone c.time_zone
            and k.first_at < (t.call_date + 1)::timestamp at time zone c.time_zone
        cross join generate_series(
            (k.first_at at time zone c.time_zone)::date, (k.last_at at time zone c.time_zone)::date, interval '1 day'
        ) as day
    )

    insert into ops.dirty_day (customer_id, call_date, cause)
    select r.customer_id, r.call_date, 'contract'
    from reached as r
    join held as h on h.customer_id = r.customer_id and h.call_date = r.call_date and h.new is not null
    on conflict (customer_id, call_date) do update set mark = nextval('ops.mark'), cause = excluded.cause;

    delete from ops.followed_contract where customer_id in (select customer_id from changed);
    insert into ops.followed_contract
    select kept.* from kept join changed using (customer_id);
    drop table kept, changed;
end
$$;

-- What the loader may do, who can write into the doorway and read nothing: its own types and functions mean nothing
-- here, for the search path ends with pg_temp.

create or replace function raw.has_landed(sha256 text, registry_version integer, asked text) returns boolean
stable
security definer
return exists (
    select
    from raw.file as f
    where
        f.sha256 = has_landed.sha256
        and f.registry_version = has_landed.registry_version
        and f.asked = has_landed.asked
);

-- Which of some words are an agent of a customer: an id, a name, an address, a key, or what reports call an agent by its
-- key. The name of a queue of the customer's is none of these. Of anonymous agents, and under standard, the events alone
-- know the keys: they are read only for a word that looks like one.
create or replace function registry.known_agents(customer integer, words text[]) returns text[]
stable
security definer
return array(
    select word
    from unnest(words) as word
    where
        not exists (select from registry.queue as q where q.customer_id = customer and q.queue = word)
        and case
            when exists (
                select
                from registry.agent as a
                where a.customer_id = customer and word in (a.agent_key, a.agent, a.name, a.email)
            ) then true
            when word ~ '^(agent-[0-9a-f]{{10}}|~?[0-9a-f]{{32}})$' then word = any(array(
                select distinct unnest(array[e.agent_key, 'agent-' || left(e.agent_key, 10)])
                from raw.event as e
                where e.customer_id = customer and e.agent_key is not null
            ))
            else false
        end
);

-- Open the doorway, to one landing at a time; false where the registry is another than the file was gated with. No
-- contract ends while its rows come in.
create or replace function raw.receive(registry_version integer) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    truncate raw.incoming, raw.incoming_reject, raw.incoming_agent;
    lock table registry.version in share mode;
    return registry_version = (select coalesce(max(version), 0) from registry.version);
end
$$;

-- Keep what came in through the doorway, as one file.
create or replace function raw.keep(
    name text, sha256 text, registry_version integer, asked text, row_count bigint, rejected bigint, turned_away bigint,
    incomplete_last_line boolean, turned_away_by jsonb, out landed bigint, out repeated bigint
)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
    file bigint;
begin
    perform raw.refuse_unprepared(row_count, rejected, turned_away, turned_away_by);

    -- What the loader has read of the contracts is not what counts. Where a customer's first and last moment lie under
    -- one contract, so does all between them: no clock of today goes back to the day before.
    with kept as materialized (
        select
            customer_id,
            c.time_zone,
            daterange(greatest(k.valid_from, access.retention_floor()), k.valid_until) as days
        from registry.kept_contract as k
        join registry.customer as c using (customer_id)
        where k.valid_until is null or k.valid_until > access.retention_floor()
    ),

    doubtful as materialized (
        select customer_id
        from arrived
        group by customer_id
        having not exists (
            select
            from kept as k
            where
                k.customer_id = arrived.customer_id
                and (min(first_at) at time zone k.time_zone)::date <@ k.days
                and (max(last_at) at time zone k.time_zone)::date <@ k.days
        )
    )

    delete from raw.incoming as i
    using doubtful as d
    where
        d.customer_id = i.customer_id
        and not exists (
            select
            from kept as k
            where k.customer_id = i.customer_id and (i.occurred_at at time zone k.time_zone)::date <@ k.days
        );

    insert into raw.file (
        name, sha256, registry_version, asked, row_count, rejected, turned_away, incomplete_last_line
    )
    values (name, sha256, registry_version, asked, row_count, rejected, turned_away, incomplete_last_line)
    returning file_id into file;
    insert into raw.reject (file_id, line_number, reason) select file, line_number, reason from raw.incoming_reject;

    -- The ids behind the keys: of agents under a detailed contract, never of anonymous ones. Where the marts show an
    -- agent by its key, for want of the id that comes now, a day is built anew, and with it what its agents are called.
    if to_regclass('store.agent') is not null then
        insert into ops.dirty_day (customer_id, call_date, cause)
        select o.customer_id, max(o.call_date), 'agent ids'
        from ops.opened_day as o
        where
            isfinite(o.call_date)
            and o.customer_id in (
                select i.customer_id
                from raw.incoming_agent as i
                join store.agent as m on m.customer_id = i.customer_id and m.agent_key = i.agent_key
                left join registry.agent as a on a.customer_id = i.customer_id and a.agent_key = i.agent_key
                where a.agent is null
            )
        group by o.customer_id
        on conflict (customer_id, call_date) do update set mark = nextval('ops.mark'), cause = excluded.cause;
    end if;
    insert into registry.agent as known (customer_id, agent_key, agent, last_day)
    select customer_id, agent_key, min(agent), max((last_at at time zone time_zone)::date)
    from raw.incoming_agent join registry.customer using (customer_id)
    group by customer_id, agent_key
    on conflict (customer_id, agent_key) do update
    set agent = coalesce(known.agent, excluded.agent), last_day = greatest(known.last_day, excluded.last_day);

    insert into ops.audit_log (action, customer_id, details)
    select 'turned away', nullif(customer, 'null')::integer, jsonb_build_object('rows', rows::bigint, 'file', file)
    from jsonb_each_text(turned_away_by) as t (customer, rows);

    select m.landed, m.repeated into landed, repeated from raw.merge_incoming(file) as m;
    update raw.file as f set landed = keep.landed, repeated = keep.repeated where f.file_id = file;
    drop table arrived;
    truncate raw.incoming_reject, raw.incoming_agent;
end
$$;

-- Usage over all customers: what can be reckoned of several numbers ------------------------------------------------

-- The inverse of a Gram matrix, column by column (the sweep operator). A column that others make up is left out: its row
-- and column are 0.
create or replace function raw.inverse(gram double precision[]) returns double precision[]
language plpgsql immutable
as $$
declare
    size constant integer := array_length(gram, 1);
    swept double precision[] := gram;
    pivot double precision;
    factor double precision;
begin
    for p in 1..size loop
        pivot := swept[p][p];
        for a in 1..size loop
            continue when a = p or swept[a][p] = 0;
            factor := case when pivot > 1e-12 * gram[p][p] then swept[a][p] / pivot else 0 end;
            for b in 1..size loop
                if b <> p and factor <> 0 then
                    swept[a][b] := swept[a][b] - factor * swept[p][b];
                end if;
            end loop;
            swept[a][p] := factor;
        end loop;
        for a in 1..size loop
            swept[p][a] := swept[a][p];
        end loop;
        swept[p][p] := case when pivot > 1e-12 * gram[p][p] then -1 / pivot else 0 end;
    end loop;
    return array(select -cell from unnest(swept) as cell);
end
$$;

-- Of each row, how far it can stand out: x' G x, where G is a symmetric matrix, row after row.
create or replace function raw.leverages(parts double precision[], matrix double precision[])
returns double precision[]
language plpgsql immutable
as $$
declare
    size constant integer := array_length(parts, 2);
    found double precision[];
    part double precision[];
    leverage double precision;
begin
    foreach part slice 1 in array parts loop
        leverage := 0;
        for a in 1..size loop
            continue when part[a] = 0;
            leverage := leverage + matrix[(a - 1) * size + a] * part[a] ^ 2;
            for b in a + 1..size loop
                leverage := leverage + 2 * matrix[(a - 1) * size + b] * part[a] * part[b];
            end loop;
        end loop;
        found := found || greatest(leverage, 0);
    end loop;
    return found;
end
$$;

-- The columns of `parts` are added up with whatever weights: how much of the sum over its rows, signs aside, a row of
-- `shapes` is at most. A bound: give each row a weight w, divide it by the root of it, and let x be a row's leverage in
-- that. In no sum is a row of parts more than r * w, where r is the largest x / w², nor a row of shapes more than the root
-- of r * x. So it is with any weights; those of each round come from the one before (Lewis weights) and make it tighter.
create or replace function raw.largest_shares(parts double precision[], shapes double precision[])
returns double precision[]
language plpgsql immutable
as $$
declare
    size constant integer := array_length(parts, 2);
    part double precision[];
    weights double precision[];
    gram double precision[];
    matrix double precision[];
    x double precision[];
    r double precision;
    shares double precision[];
    smallest double precision[];
    number integer;
begin
    foreach part slice 1 in array parts loop
        weights := weights || (select max(abs(cell)) from unnest(part) as cell);
    end loop;
    for round in 1..6 loop
        gram := array_fill(0::double precision, array[size, size]);
        number := 0;
        foreach part slice 1 in array parts loop
            number := number + 1;
            for a in 1..size loop
                continue when part[a] = 0;
                for b in 1..size loop
                    gram[a][b] := gram[a][b] + part[a] * part[b] / weights[number];
                end loop;
            end loop;
        end loop;
        matrix := raw.inverse(gram);
        x := raw.leverages(parts, matrix);
        select max(of_row.x / of_row.w ^ 2) into r
        from unnest(x, weights) as of_row (x, w)
        where of_row.w > 0;
        shares := array(
            select sqrt(r * of_shape)
            from unnest(raw.leverages(shapes, matrix)) as of_shape
            order by of_shape desc
        );
        if smallest is null or shares[1] < smallest[1] then
            smallest := shares;
        end if;
        weights := array(select sqrt(of_row) from unnest(x) as of_row);
    end loop;
    return smallest;
end
$$;

-- Whether nobody weighs much in any sum or difference of months, whatever their weights: rows are customers, columns
-- months. `uses` is how often, `steady` the same for a customer that uses it equally in every month in which at all. By
-- how often, the largest is less than half and the two largest are less than 85 %; by how many, where what is not steady
-- counts as well, each is a tenth at most.
create or replace function raw.weighs_little(uses double precision[], steady double precision[]) returns boolean
language plpgsql immutable
as $$
declare
    of_uses double precision[] := raw.largest_shares(uses, steady);
    is_on double precision[];
    is_odd double precision[];
    size double precision;
    odd double precision[];
begin
    if of_uses[1] >= 0.5 or of_uses[1] + of_uses[2] >= 0.85 then
        return false;
    end if;
    for customer in 1..array_length(uses, 1) loop
        size := (select max(cell) from unnest(steady[customer:customer]) as cell);
        is_on := is_on || array[array(select (cell > 0)::integer from unnest(steady[customer:customer]) as cell)];
        odd := array(
            select (told.uses - told.steady) / size
            from unnest(uses[customer:customer], steady[customer:customer]) as told (uses, steady)
        );
        size := (select max(abs(cell)) from unnest(odd) as cell);
        if size > 1e-9 then
            is_odd := is_odd || array[array(select cell / size from unnest(odd) as cell)];
        end if;
    end loop;
    return (raw.largest_shares(is_on || is_odd, is_on))[1] <= 0.1 + 1e-9;
end
$$;

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

-- Statistics would keep a sample of what is removed. ------------------------------------------------------------------
alter table registry.agent alter agent set statistics 0, alter name set statistics 0, alter email set statistics 0;
alter table registry.customer alter name set statistics 0;
alter table registry.contact alter name set statistics 0, alter email set statistics 0;
alter table registry.recipient alter email set statistics 0;
alter table registry.queue alter queue set statistics 0, alter label set statistics 0;
alter table registry.status_word alter word set statistics 0;

-- What the functions and views say as callmart made them: a change by hand is drift. Of a view that customers read,
-- its owner and its rights count as well.
create or replace view access.current_definition as
select p.oid::regprocedure::text as object, md5(pg_get_functiondef(p.oid)) as definition
from pg_catalog.pg_proc as p
where p.pronamespace in (
    'access'::regnamespace, 'registry'::regnamespace, 'raw'::regnamespace, 'ops'::regnamespace
)
union all
select
    v.oid::regclass::text,
    md5(
        pg_get_viewdef(v.oid)
        || coalesce(v.reloptions::text, '')
        || case
            when v.relnamespace = 'mart'::regnamespace then
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
    object     text primary key,
    definition text not null,
    query      text -- what `access.show` was given, for a view of its own
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

-- An earlier callmart had the marts' tables in `mart`. They move with their months and all that is in them.
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
        if earlier.mart_group is not null then -- else `access apply` guards it, by its YAML
            perform access.protect(earlier.mart, earlier.mart_group, earlier.day);
        end if;
    end loop;
    update ops.to_vacuum set relation = regexp_replace(relation, '^mart\.', 'store.') where relation like 'mart.%';
end
$$;

-- Contacts with a hold were counted as a function, until they told something beside the holds and the answers.
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

-- The group of each mart that stood before it was noted there.
delete from access.mart where not exists (select from pg_catalog.pg_class as c where c.oid = relation);
insert into access.mart (relation, mart_group)
select m.mart, substring(r.rolname from '_(?:reads|shows)_([a-z]+)$')
from access.mart_relation as m
join pg_catalog.pg_policy as p on p.polrelid = m.mart and p.polname = 'own_rows'
join pg_catalog.pg_roles as r on r.oid = any(p.polroles)
where m.relation = m.mart
on conflict do nothing;

-- Last, when all of them are as they should be.
delete from access.definition where object not like 'mart.%';
insert into access.definition (object, definition)
select object, definition from access.current_definition where object not like 'mart.%';
