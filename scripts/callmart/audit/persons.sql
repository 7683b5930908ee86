-- name: among
-- A customer among whose events somebody can be put in, and the moment of its last event. Of this month there may be
-- no event yet, and so no partition.
with customer as (
    select
        customer_id,
        raw.last_event(customer_id, '-infinity', now()) as at
    from registry.kept_contract
)

select
    customer_id,
    at
from customer
where at is not null
order by customer_id
limit 1;

-- name: put_in
-- A call of a made-up agent or caller, and a status of the agent.
with call as (
    select raw.random_key() as call_key
),

known as (
    insert into raw.call (customer_id, call_key, first_at, last_at, spans_days)
    select
        %(customer)s,
        call_key,
        %(at)s as first_at,
        %(at)s as last_at,
        false
    from call
)

insert into raw.event (
    customer_id, occurred_at, event_key, platform, event, file_id, call_key, agent_key, number_key, reason
)
select
    %(customer)s,
    %(at)s,
    raw.random_key(),
    'vcloud',
    'agent_connected',
    0,
    call_key,
    case when %(kind)s = 'agent' then %(key)s end,
    case when %(kind)s = 'caller' then %(key)s end,
    null
from call
union all
select
    %(customer)s,
    %(at)s,
    raw.random_key(),
    'vcloud',
    'agent_status',
    0,
    null,
    %(key)s,
    null,
    'available'
where %(kind)s = 'agent';

-- name: tombstones
-- Of persons, not of their calls and devices.
select count(*) from privacy.tombstone
where kind in ('agent', 'caller', 'contact', 'recipient');

-- name: under_way
-- Up to when which customers' persons are being erased: their tombstones come first.
select
    customer_id,
    until
from privacy.request
where state = 'executing';
