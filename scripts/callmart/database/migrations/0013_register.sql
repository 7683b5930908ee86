-- privacy: the register of requests of persons. It holds no name, number or address: who a request is about and who
-- asks are keyed hashes, and there is no free text.
create schema if not exists privacy;

create table privacy.request (
    number integer generated always as identity primary key,
    customer_id integer not null, -- no reference: a request outlives its customer
    asked_right text not null default 'erasure' check (asked_right in ('erasure')),
    kind text check (kind in ('agent', 'caller', 'contact', 'recipient')),
    subject text check (subject ~ '^[0-9a-f]{32}$'), -- whom it is about; null if it was never taken up
    contact_key text check (contact_key ~ '^[0-9a-f]{32}$'), -- who asks; null if the customer has no key
    received date not null,
    due date not null generated always as (received + 28) stored, -- its end, by the provider's clock
    state text not null check (
        state in (
            'received', 'identified', 'planned', 'approved', 'executing', 'proving', 'answered', 'closed',
            'forwarded', 'refused'
        )
    ),
    refused_why text check (refused_why in ('authority', 'identity', 'no such customer')),
    opened_at timestamptz not null default clock_timestamp(),
    opened_by name not null default session_user,
    identified_at timestamptz,
    identified_by name,
    identified_how text check (identified_how in ('code', 'called_back', 'in_person')),
    is_alone boolean, -- the number or id is one person's alone, the contact says
    is_instructed boolean, -- the contact asked for the erasure in writing, knowing that others share it
    planned_at timestamptz,
    planned_by name,
    plan_hash text check (plan_hash ~ '^[0-9a-f]{8,64}$'),
    until timestamptz, -- what came later is not concerned
    approved_at timestamptz,
    approved_by name,
    begun_at timestamptz,
    answered_at timestamptz,
    ended_at timestamptz, -- closed, refused or forwarded
    blocked_place text check (blocked_place ~ '^[a-z][a-z_. ]{0,62}$'), -- where it can't go on
    blocked_code text check (blocked_code ~ '^[a-z][a-z_ ]{0,62}$'),
    check (kind is not null or state in ('forwarded', 'refused')),
    check (subject is not null or ended_at is not null),
    check ((ended_at is not null) = (state in ('closed', 'forwarded', 'refused'))),
    check ((refused_why is not null) = (state = 'refused')),
    check ((blocked_place is null) = (blocked_code is null))
);

-- One open request per person.
create unique index open_request on privacy.request (customer_id, kind, subject)
where ended_at is null and answered_at is null;

comment on table privacy.request is 'One row per letter that came: a request, one that was refused, or one that was'
' forwarded.';
comment on column privacy.request.asked_right is 'person: nobody';
comment on column privacy.request.kind is 'person: nobody';
comment on column privacy.request.subject is 'person: agent, caller, contact, recipient';
comment on column privacy.request.contact_key is 'person: contact';
comment on column privacy.request.state is 'person: nobody';
comment on column privacy.request.refused_why is 'person: nobody';
comment on column privacy.request.opened_by is 'person: staff';
comment on column privacy.request.identified_by is 'person: staff';
comment on column privacy.request.identified_how is 'person: nobody';
comment on column privacy.request.planned_by is 'person: staff';
comment on column privacy.request.plan_hash is 'person: nobody';
comment on column privacy.request.approved_by is 'person: staff';
comment on column privacy.request.blocked_place is 'person: nobody';
comment on column privacy.request.blocked_code is 'person: nobody';

-- The evidence: what was found, treated and looked for in each place, in counts.
create table privacy.step (
    entry bigint generated always as identity primary key,
    request integer not null references privacy.request on delete cascade,
    place text not null check (place ~ '^[a-z][a-z_. ]{0,62}$'),
    step text not null check (step in ('find', 'treat', 'prove', 'attest')),
    counts jsonb not null,
    at timestamptz not null default clock_timestamp(),
    actor name not null default session_user
);

create index step_of_request on privacy.step (request, place, step, entry);

comment on column privacy.step.place is 'person: nobody';
comment on column privacy.step.step is 'person: nobody';
comment on column privacy.step.counts is 'person: nobody';
comment on column privacy.step.actor is 'person: staff';

-- So that the authority of who asks can be asked again without an address.
alter table registry.contact add column contact_key text;
comment on column registry.contact.contact_key is 'person: contact';

-- A deadline is a trouble per request, and told again as it comes nearer.
alter table ops.alarm
add column request integer,
add column days_left integer,
drop constraint alarm_channel_trouble_customer_id_key,
add unique nulls not distinct (channel, trouble, customer_id, request, days_left);
