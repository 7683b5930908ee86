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
    key_fingerprint  text -- a lost key is noticed, never silently replaced; null: never had a contract
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

-- Where a file arrives; empty outside the transaction that lands one.
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

-- Leave in raw.incoming what is new, each event once. Equal rows of one file are several events, told apart by an
-- ordinal, unless their source identifies them: then they are one.
create or replace function raw.drop_repeated() returns void
language plpgsql
set work_mem = '256MB' -- a file of millions is grouped in memory
as $$
begin
    create temporary table equal_row on commit drop as
    select
        ctid as place,
        identified,
        row_number() over (partition by customer_id, occurred_at, event_key order by line_number) - 1 as ordinal
    from raw.incoming
    where (customer_id, occurred_at, event_key) in (
        select customer_id, occurred_at, event_key
        from raw.incoming
        group by customer_id, occurred_at, event_key
        having count(*) > 1
    );
    delete from raw.incoming as i using equal_row as e where i.ctid = e.place and e.identified and e.ordinal > 0;
    update raw.incoming as i
    set ordinal = e.ordinal
    from equal_row as e
    where i.ctid = e.place and not e.identified and e.ordinal > 0;
    drop table equal_row;

    -- Asked first, because new data seldom meets old: then no row needs looking up.
    if exists (
        select
        from (
            select customer_id, min(occurred_at) as first_at, max(occurred_at) as last_at
            from raw.incoming
            group by customer_id
        ) as i
        where exists (
            select
            from raw.event as e
            where e.customer_id = i.customer_id and e.occurred_at between i.first_at and i.last_at
        )
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

-- Keep what is new of raw.incoming, and mark every day that it reaches: the days of each call that it has a part
-- of, and of each status, login and membership that it begins, ends or cuts short.
create or replace function raw.merge_incoming(file bigint, out landed bigint, out repeated bigint)
language plpgsql
set timezone = 'UTC'
set work_mem = '256MB'
as $$
declare
    earliest timestamptz;
    latest   timestamptz;
    reach    constant interval := '31 days'; -- how far apart the two ends of a status are looked for
begin
    select count(*), min(occurred_at), max(occurred_at) into repeated, earliest, latest from raw.incoming;
    perform raw.drop_repeated();
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
    repeated := repeated - landed;

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

    phases as (
        select
            e.customer_id,
            e.event_key,
            e.occurred_at,
            first_value(e.occurred_at) over kind_of_agent as first_at,
            last_value(e.occurred_at) over kind_of_agent as last_at
        from raw.event as e
        join (
            select distinct customer_id, agent_key from raw.incoming where call_key is null
        ) as agents using (customer_id, agent_key)
        where
            e.call_key is null
            and e.occurred_at between earliest - reach and latest + reach
        window kind_of_agent as (
            partition by
                e.customer_id,
                e.agent_key,
                e.queue,
                case
                    when e.event in ('agent_logged_in', 'agent_logged_out') then 'login'
                    when e.event in ('agent_joined_queue', 'agent_left_queue') then 'membership'
                    else e.event
                end
            order by e.occurred_at
            groups between 1 preceding and 1 following -- of one moment, whichever holds from then on
        )
    ),

    reached as (
        select customer_id, first_at, last_at from calls
        union all
        select phases.customer_id, phases.first_at, phases.last_at
        from phases
        join raw.incoming using (customer_id, occurred_at, event_key)
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

revoke all on all functions in schema access, registry, raw, ops from public;
