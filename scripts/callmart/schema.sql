-- Everything in the database that dbt does not make: applied whole, in one transaction, as often as one likes.
-- What stands in braces is filled in by schema.py.

create schema if not exists registry;
create schema if not exists raw;
create schema if not exists build;
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
    service_level_s  integer not null,
    short_abandon_s  integer not null,
    key_fingerprint  text not null -- a lost key is noticed, never silently replaced
);

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
    failing     jsonb not null, -- [[customer_id, call_date], ...]: keys only
    primary key (build_id, mart, expectation)
);

create table if not exists ops.held_back (
    customer_id integer not null,
    call_date   date not null,
    build_id    bigint not null,
    cause       text not null,
    since       timestamptz not null default clock_timestamp(),
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
    path         text not null,
    content_hash text not null,
    row_count    bigint not null,
    basis        jsonb not null, -- what it was made from; the same basis gives the same rows
    written_at   timestamptz not null default clock_timestamp(),
    primary key (customer_id, mart_group)
);

create table if not exists ops.publication (
    customer_id  integer primary key,
    state        text not null,
    project      text,
    at           timestamptz not null default clock_timestamp()
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

create table if not exists raw.reject (
    file_id     bigint not null references raw.file on delete cascade,
    line_number bigint not null,
    reason      text not null
);

create table if not exists raw.event (
    customer_id     integer not null,
    occurred_at     timestamptz not null,
    event_key       uuid not null,
    ordinal         integer not null default 0, -- among equal rows of one file
    platform        text not null,
    event           text not null,
    source_order    bigint, -- where the source has an order of its own; null: rows may come in any
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

create index if not exists event_by_call on raw.event (customer_id, call_id) where call_id is not null;
create index if not exists event_by_agent on raw.event (customer_id, agent_key, occurred_at) where call_id is null;

-- Where a file arrives; empty outside the transaction that lands one.
create unlogged table if not exists raw.incoming (
    customer_id     integer not null,
    occurred_at     timestamptz not null,
    event_key       uuid not null,
    identified      boolean not null, -- by the source's own event_id
    platform        text not null,
    event           text not null,
    line_number     bigint,
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

-- Calls that touch more than one local day of their customer: the few that a day's own events don't show whole.
create table if not exists raw.spanning_call (
    customer_id integer not null,
    platform    text not null,
    call_id     text not null,
    first_day   date not null,
    last_day    date not null,
    primary key (customer_id, platform, call_id)
);

-- build: the window that dbt computes ----------------------------------------------------------------------------

create table if not exists build.window (
    customer_id integer not null,
    call_date   date not null,
    mark        bigint not null,
    primary key (customer_id, call_date)
);

-- access: who a session is, and how far back it may look -------------------------------------------------------------
-- SQL-standard bodies, parsed now: in a string body a caller's own pg_temp.text or pg_temp.date would take the
-- place of the real type.

create or replace function access.current_customer() returns integer
stable
return substring(current_user from '[0-9]+$')::integer;

create or replace function access.retention_floor() returns date
stable
return ((now() at time zone {time_zone}) - interval '2 years')::date;

-- A month of a partitioned table, with the policies of its parent: neither they nor FORCE are inherited when a
-- partition is named directly. Grants are not copied: partitions are granted to nobody. True where it was made.
create or replace function access.ensure_month(parent regclass, month date) returns boolean
language plpgsql
set timezone = 'UTC'
as $$
declare
    parent_schema text;
    parent_name   text;
    protected     boolean;
    partition     text;
    policy        record;
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
        execute format('alter table %s enable row level security, force row level security', partition);
        for policy in
            select * from pg_catalog.pg_policies where schemaname = parent_schema and tablename = parent_name
        loop
            execute format(
                'create policy %I on %s as %s for %s to %s using (%s) %s',
                policy.policyname, partition, policy.permissive, policy.cmd,
                (select string_agg(quote_ident(r), ', ') from unnest(policy.roles) as r),
                policy.qual, 'with check (' || policy.with_check || ')'
            );
        end loop;
    end if;
    -- Made, then attached: the parent is locked less than by CREATE TABLE … PARTITION OF.
    execute format(
        'alter table %s attach partition %s for values from (%L) to (%L)',
        parent, partition, date_trunc('month', month)::date, (date_trunc('month', month) + interval '1 month')::date
    );
    return true;
end
$$;

-- Landing: functions of the owner, so that who lands need not read -------------------------------------------------

-- Keep what is new of raw.incoming, and mark every day that it reaches: the days of each call that it has a part
-- of, and of each status, login and membership that it begins, ends or cuts short.
create or replace function raw.merge_incoming(file bigint, out landed bigint, out repeated bigint)
language plpgsql
set timezone = 'UTC'
as $$
declare
    total      bigint;
    first_at   timestamptz;
    last_at    timestamptz;
    -- How far apart the events of one call, or the two ends of a status, are looked for.
    reach      constant interval := '7 days';
    long_reach constant interval := '31 days';
begin
    select count(*), min(occurred_at), max(occurred_at) into total, first_at, last_at from raw.incoming;

    create temporary table new_event on commit drop as
    with kept as (
        insert into raw.event (
            customer_id, occurred_at, event_key, ordinal, platform, event, source_order, call_id, queue,
            agent_key, number_key, number_withheld, line, device_key, direction, reason, target, target_key,
            target_kind, duration_s, wait_s, recorded
        )
        select
            customer_id, occurred_at, event_key, 0, platform, event, file << 32 | line_number, call_id, queue,
            agent_key, number_key, number_withheld, line, device_key, direction, reason, target, target_key,
            target_kind, duration_s, wait_s, recorded
        from raw.incoming
        on conflict do nothing
        returning *
    ),

    -- Equal rows of one file are several events, told apart by their ordinal.
    equal as (
        select *
        from raw.incoming
        where not identified and (customer_id, occurred_at, event_key) in (
            select customer_id, occurred_at, event_key
            from raw.incoming
            group by customer_id, occurred_at, event_key
            having count(*) > 1
        )
    ),

    kept_equal as (
        insert into raw.event (
            customer_id, occurred_at, event_key, ordinal, platform, event, source_order, call_id, queue,
            agent_key, number_key, number_withheld, line, device_key, direction, reason, target, target_key,
            target_kind, duration_s, wait_s, recorded
        )
        select
            customer_id, occurred_at, event_key, ordinal, platform, event, file << 32 | line_number, call_id, queue,
            agent_key, number_key, number_withheld, line, device_key, direction, reason, target, target_key,
            target_kind, duration_s, wait_s, recorded
        from (
            select
                *,
                row_number() over (
                    partition by customer_id, occurred_at, event_key order by line_number
                ) - 1 as ordinal
            from equal
        ) as numbered
        where ordinal > 0
        on conflict do nothing
        returning *
    )

    select customer_id, platform, call_id, agent_key, event, queue, occurred_at, duration_s, wait_s
    from kept
    union all
    select customer_id, platform, call_id, agent_key, event, queue, occurred_at, duration_s, wait_s
    from kept_equal;

    get diagnostics landed = row_count;
    repeated := total - landed;
    truncate raw.incoming;

    create temporary table new_call on commit drop as
    select distinct customer_id, platform, call_id from new_event where call_id is not null;
    analyze new_call;

    perform raw.mark_calls(first_at - reach, last_at + reach, 'landed');

    insert into ops.dirty_day (customer_id, call_date, cause)
    with kinds (event, kind) as (
        values
        ('agent_status', 'status'),
        ('agent_logged_in', 'login'), ('agent_logged_out', 'login'),
        ('agent_joined_queue', 'membership'), ('agent_left_queue', 'membership')
    ),

    agents as (
        select distinct customer_id, agent_key from new_event where call_id is null
    ),

    phases as (
        select
            e.customer_id,
            e.occurred_at,
            c.time_zone,
            lag(e.occurred_at) over kind_of_agent as previous_at,
            lead(e.occurred_at) over kind_of_agent as next_at
        from agents
        join raw.event as e using (customer_id, agent_key)
        join kinds using (event)
        join registry.customer as c using (customer_id)
        where e.call_id is null and e.occurred_at between first_at - long_reach and last_at + long_reach
        window kind_of_agent as (
            partition by e.customer_id, e.agent_key, kinds.kind, e.queue order by e.occurred_at
        )
    )

    select distinct
        phases.customer_id,
        day::date,
        'landed'
    from phases
    join new_event as n on n.customer_id = phases.customer_id and n.occurred_at = phases.occurred_at,
        generate_series(
            (coalesce(phases.previous_at, phases.occurred_at) at time zone phases.time_zone)::date,
            (coalesce(phases.next_at, phases.occurred_at) at time zone phases.time_zone)::date,
            interval '1 day'
        ) as day
    where n.call_id is null
    on conflict (customer_id, call_date) do update set mark = nextval('ops.mark'), cause = excluded.cause;

    drop table new_event, new_call;
end
$$;

-- The days of the calls in new_call (a temporary table): marked as dirty, and remembered where they are more than
-- one. A phase that the source measured itself can reach back before the first event of the call.
create or replace function raw.mark_calls(from_at timestamptz, until_at timestamptz, why text) returns void
language plpgsql
set timezone = 'UTC'
as $$
begin
    create temporary table call_days on commit drop as
    select
        customer_id,
        platform,
        call_id,
        (
            min(occurred_at - make_interval(secs => coalesce(duration_s, 0) + coalesce(wait_s, 0)))
            at time zone min(time_zone)
        )::date as first_day,
        (max(occurred_at) at time zone min(time_zone))::date as last_day
    from new_call
    join raw.event using (customer_id, platform, call_id)
    join registry.customer using (customer_id)
    where occurred_at between from_at and until_at
    group by customer_id, platform, call_id;

    insert into raw.spanning_call (customer_id, platform, call_id, first_day, last_day)
    select customer_id, platform, call_id, first_day, last_day from call_days where first_day < last_day
    on conflict (customer_id, platform, call_id) do update
    set
        first_day = least(spanning_call.first_day, excluded.first_day),
        last_day = greatest(spanning_call.last_day, excluded.last_day);

    insert into ops.dirty_day (customer_id, call_date, cause)
    select distinct customer_id, day::date, why
    from call_days, generate_series(first_day, last_day, interval '1 day') as day
    on conflict (customer_id, call_date) do update set mark = nextval('ops.mark'), cause = excluded.cause;

    drop table call_days;
end
$$;

-- A customer has moved to another time zone: all its calls fall on other days.
create or replace function raw.redate_calls(customer integer) returns void
language plpgsql
as $$
begin
    delete from raw.spanning_call where customer_id = customer;
    create temporary table new_call on commit drop as
    select distinct customer_id, platform, call_id
    from raw.event
    where customer_id = customer and call_id is not null;
    perform raw.mark_calls('-infinity', 'infinity', 'time zone');
    drop table new_call;
end
$$;

revoke all on all functions in schema access, registry, raw, ops from public;
