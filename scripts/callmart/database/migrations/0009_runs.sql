-- What the nightly runs did, and which troubles were reported. No value of a row and no name: an error is its class.

create table if not exists ops.run (
    run_id bigint generated always as identity primary key,
    began_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz, -- unknown for a run that died
    outcome text not null default 'at work'
    check (outcome in ('at work', 'done', 'problems', 'interrupted', 'failed', 'died')),
    problems integer not null default 0,
    error text, -- class of the error that ended the run
    check ((ended_at is null) = (outcome in ('at work', 'died')))
);

-- A stage that did not begin has no row.
create table if not exists ops.run_stage (
    run_id bigint not null references ops.run on delete cascade,
    stage text not null,
    began_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz,
    outcome text not null default 'at work'
    check (outcome in ('at work', 'done', 'problems', 'interrupted', 'failed', 'died')),
    counts jsonb not null default '{}',
    error text,
    primary key (run_id, stage),
    check ((ended_at is null) = (outcome in ('at work', 'died')))
);

-- The troubles that each channel (webhook, mail) was told of. A row goes when the channel was told that the trouble has
-- ended. customer_id is null if the trouble is not one customer's.
create table if not exists ops.alarm (
    channel text not null,
    trouble text not null,
    customer_id integer,
    sent_at timestamptz not null default clock_timestamp(),
    unique nulls not distinct (channel, trouble, customer_id)
);

-- Finds the last backup without reading the whole log.
create index if not exists audit_log_of_backups on ops.audit_log (at) where action = 'backed up';
