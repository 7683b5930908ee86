-- The tables and indexes as commit 85f5234 had them, the first version whose databases can be upgraded. Databases from
-- before migrations were numbered have these tables already, or their successors: therefore `if not exists`.

create schema if not exists registry;
create schema if not exists raw;
create schema if not exists build;
create schema if not exists mart;
create schema if not exists usage;
create schema if not exists access;
create schema if not exists ops;

-- registry: who the customers are and what they have ordered.

create table if not exists registry.version (
    version integer generated always as identity primary key,
    applied_at timestamptz not null default now()
);

create table if not exists registry.customer (
    customer_id integer primary key check (customer_id > 0),
    name text not null,
    time_zone text not null,
    locale text not null,
    anonymous_agents boolean not null,
    connection text not null,
    service_level_s integer not null,
    short_abandon_s integer not null,
    key_fingerprint text -- to notice that the key is lost or another; null if the customer never had a contract
);

create table if not exists registry.contract (
    customer_id integer not null references registry.customer on delete cascade,
    option text not null check (option in ('standard', 'detailed')), -- days with option none have no row
    valid_from date not null,
    valid_until date, -- exclusive; null if the contract has no end
    primary key (customer_id, valid_from),
    check (valid_from < valid_until)
);

create table if not exists registry.queue (
    customer_id integer not null references registry.customer on delete cascade,
    queue text not null,
    label text,
    service_level_s integer not null,
    short_abandon_s integer not null,
    primary key (customer_id, queue)
);

create table if not exists registry.status_word (
    customer_id integer not null references registry.customer on delete cascade,
    word text not null,
    status text not null,
    primary key (customer_id, word)
);

-- The only table that has both the key of an agent and its id or name.
create table if not exists registry.agent (
    customer_id integer not null references registry.customer on delete cascade,
    agent_key text not null,
    agent text, -- the id at the source
    name text,
    email text,
    last_day date, -- the day of its last event under a detailed contract; null if there was none
    primary key (customer_id, agent_key)
);

create table if not exists registry.contact (
    customer_id integer not null references registry.customer on delete cascade,
    email text not null,
    name text not null,
    authorised boolean not null,
    primary key (customer_id, email)
);

create table if not exists registry.recipient (
    customer_id integer not null references registry.customer on delete cascade,
    email text not null,
    reports text[] not null,
    primary key (customer_id, email)
);

-- ops: callmart's books: what it has done, and what is still to do.

create table if not exists ops.audit_log (
    entry bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    actor text not null default session_user,
    action text not null,
    customer_id integer,
    details jsonb not null default '{}'
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
    project text,
    at timestamptz not null default clock_timestamp()
);

-- The contracts by which days were last marked (see ops.follow_contracts). registry.kept_contract also changes when
-- time passes.
create table if not exists ops.followed_contract (
    customer_id integer not null,
    option text not null,
    valid_from date not null,
    valid_until date,
    primary key (customer_id, valid_from)
);

-- raw: the events, with keys instead of numbers and names.

create table if not exists raw.file (
    file_id bigint generated always as identity primary key,
    name text not null,
    sha256 text not null,
    landed_at timestamptz not null default clock_timestamp(),
    registry_version integer not null,
    asked text not null, -- the format, customer, platform and time zone that it was landed with
    row_count bigint not null,
    landed bigint, -- events; a row can give several
    repeated bigint,
    rejected bigint not null,
    turned_away bigint not null,
    incomplete_last_line boolean not null
);

create index if not exists file_by_content on raw.file (sha256);

-- The customers that a file has events of, and the first and last of those days. Tells where to look for days that a
-- contract no longer keeps.
create table if not exists raw.file_customer (
    file_id bigint not null references raw.file on delete cascade,
    customer_id integer not null,
    first_day date, -- null if the file was landed for the customer and had no events of it
    last_day date,
    events bigint not null,
    primary key (customer_id, file_id)
);

create index if not exists file_customer_by_file on raw.file_customer (file_id);

create table if not exists raw.reject (
    file_id bigint not null references raw.file on delete cascade,
    line_number bigint not null,
    reason text not null
);

create table if not exists raw.event (
    customer_id integer not null,
    occurred_at timestamptz not null,
    event_key bigint not null, -- identifies an event of a customer and moment
    ordinal integer not null default 0, -- numbers equal rows of one file
    platform text not null,
    event text not null,
    file_id bigint not null, -- the first file that brought it
    line_number bigint, -- only where the order of lines matters; otherwise null
    call_key bigint, -- of the platform's call; null if the event belongs to no call
    call_id text,
    queue text,
    agent_key text,
    number_key text,
    number_withheld boolean,
    line text,
    device_key text,
    direction text,
    reason text,
    target text,
    target_key text,
    target_kind text,
    duration_s double precision,
    wait_s double precision,
    recorded boolean,
    primary key (customer_id, occurred_at, event_key, ordinal)
) partition by range (occurred_at);

create index if not exists event_by_agent on raw.event (customer_id, agent_key, occurred_at) where call_key is null;

-- Logins, memberships and wrap-ups are looked for a month back, where most events are statuses.
create index if not exists event_by_agent_but_status on raw.event (customer_id, agent_key, occurred_at)
where call_key is null and event <> 'agent_status';

-- Who called when. To find repeat callers, a build reads this, and only this, of the six days before each day.
create index if not exists event_of_caller on raw.event (customer_id, occurred_at)
include (event, call_key, queue, number_key)
where event in ('call_started', 'queue_joined');

-- The first and last moment of each call, so that a build finds the few calls that a day shares with another day. The
-- first moment can be before the first event: where the source gives a duration, its beginning counts.
create table if not exists raw.call (
    customer_id integer not null,
    call_key bigint not null,
    first_at timestamptz not null,
    last_at timestamptz not null,
    spans_days boolean not null, -- on the customer's clock
    primary key (customer_id, call_key)
);

create index if not exists call_over_days on raw.call (customer_id, last_at) where spans_days;
create index if not exists call_by_end on raw.call (customer_id, last_at); -- which calls expire

-- The loader writes a file here, with its rejected rows and the ids behind its keys. Empty except in the transaction
-- that lands a file.
create unlogged table if not exists raw.incoming_reject (
    line_number bigint not null,
    reason text not null
);

create unlogged table if not exists raw.incoming_agent (
    customer_id integer not null,
    agent_key text not null,
    agent text not null,
    last_at timestamptz not null
);

create unlogged table if not exists raw.incoming (
    customer_id integer not null,
    occurred_at timestamptz not null,
    event_key bigint not null,
    ordinal integer not null default 0,
    identified boolean not null, -- by the source's own event_id
    platform text not null,
    event text not null,
    line_number bigint,
    call_key bigint,
    call_id text,
    queue text,
    agent_key text,
    number_key text,
    number_withheld boolean,
    line text,
    device_key text,
    direction text,
    reason text,
    target text,
    target_key text,
    target_kind text,
    duration_s double precision,
    wait_s double precision,
    recorded boolean
);

-- The figures per customer from which the frozen months of usage.function_month were made. dbt adds to it
-- (models/marts/usage). Nobody may read it, so it is not in schema `usage`.
create table if not exists raw.function_use (
    month date not null,
    function text not null,
    customer_id integer not null,
    uses bigint not null,
    primary key (month, function, customer_id)
);

-- build: the window that dbt computes.
create table if not exists build."window" (
    customer_id integer not null,
    call_date date not null,
    mark bigint not null,
    reached boolean not null default false, -- the day did not change, but a mart looks back from it at one that did
    primary key (customer_id, call_date)
);

-- access: who may read what.

-- The memberships that callmart granted because of a contract. Any other membership is drift.
create table if not exists access.granted (
    role name not null,
    member name not null,
    primary key (role, member)
);

create table if not exists access.definition (
    object text primary key,
    definition text not null,
    query text -- for views made by `access.show`, the query it was given
);
