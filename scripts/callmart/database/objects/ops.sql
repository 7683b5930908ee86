-- ops: callmart's books: what it has done, and what is still to do.

create table if not exists ops.audit_log (
    entry bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    actor text not null default session_user,
    action text not null,
    customer_id integer,
    details jsonb not null default '{{}}'
);

create or replace function ops.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'the audit log is append-only';
end
$$;

create or replace trigger append_only
before update or delete or truncate on ops.audit_log
for each statement execute function ops.refuse_change();

-- The day on which callmart last began work. A clock that is too far from it is not believed (clock.py).
create table if not exists ops.clock (
    one_row boolean primary key default true check (one_row),
    day date not null
);

create sequence if not exists ops.mark;

-- The days per customer whose marts no longer show what the events in raw say. Opening a build removes its days, unless
-- a day was marked again since it was built: then its mark is higher.
create table if not exists ops.dirty_day (
    customer_id integer not null,
    call_date date not null,
    mark bigint not null default nextval('ops.mark'),
    cause text not null,
    primary key (customer_id, call_date)
);

create table if not exists ops.build (
    build_id bigint generated always as identity primary key,
    built_at timestamptz not null default clock_timestamp(),
    days integer not null,
    tables jsonb not null, -- per mart the oid of the table that this build computed
    validated_at timestamptz,
    opened_at timestamptz
);

create table if not exists ops.quality_result (
    build_id bigint not null references ops.build on delete cascade,
    mart text not null,
    expectation text not null,
    severity text not null,
    success boolean not null,
    primary key (build_id, mart, expectation)
);

-- The days that fail an expectation, without any of their data.
create table if not exists ops.quality_failure (
    build_id bigint not null,
    mart text not null,
    expectation text not null,
    customer_id integer not null,
    call_date date not null,
    primary key (build_id, mart, expectation, customer_id, call_date),
    foreign key (build_id, mart, expectation) references ops.quality_result on delete cascade
);

create index if not exists quality_failure_by_day on ops.quality_failure (customer_id, call_date);

create table if not exists ops.held_back (
    customer_id integer not null,
    call_date date not null,
    build_id bigint not null,
    cause text not null, -- the checks that the day fails, as `mart: expectation`
    since timestamptz not null default clock_timestamp(),
    released_at timestamptz, -- the next run opens a released day although it fails the same checks
    released_by text,
    release_reason text,
    primary key (customer_id, call_date)
);

-- The rows that `open` put into each mart per customer and day. An extract must have exactly as many. call_date is
-- -infinity in a mart without days.
create table if not exists ops.opened_day (
    customer_id integer not null,
    call_date date not null,
    mart text not null,
    row_count bigint not null,
    build_id bigint not null,
    primary key (customer_id, call_date, mart)
);

create table if not exists ops.extract (
    customer_id integer not null,
    mart_group text not null,
    content_hash text not null,
    row_count bigint not null,
    basis jsonb not null, -- what it was made from: an equal basis gives equal rows
    written_at timestamptz not null default clock_timestamp(),
    primary key (customer_id, mart_group)
);

-- The relations from which rows were deleted. Noted in the same transaction, so that the rows also leave the planner's
-- samples, even after a crash.
create table if not exists ops.to_vacuum (
    relation text primary key
);

create table if not exists ops.publication (
    customer_id integer primary key,
    state text not null,
    project_id text, -- Tableau's LUID; null if not made yet, or if is_from_before
    is_from_before boolean not null default false, -- published by an earlier version, without an installation's mark
    at timestamptz not null default clock_timestamp()
);

-- An earlier version kept the project's name here, which contains the customer's.
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

-- The contracts by which days were last marked (see ops.follow_contracts). registry.kept_contract also changes when
-- time passes.
create table if not exists ops.followed_contract (
    customer_id integer not null,
    option text not null,
    valid_from date not null,
    valid_until date,
    primary key (customer_id, valid_from)
);
