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
    {event_columns}, -- from base/raw_format.py
    ordinal integer not null default 0, -- numbers equal rows of one file
    file_id bigint not null, -- the first file that brought it
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
    {event_columns},
    ordinal integer not null default 0,
    identified boolean not null -- by the source's own event_id
);
