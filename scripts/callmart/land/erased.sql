-- Finds rows of persons who were erased, and takes the persons out. `admitted` is the batch. The tables are created
-- once per file.

-- name: tables
create temp table erased_until as
select
    *,
    until + interval '1 day' as calls_until -- a call that began before may end a day later
from erased_until_arrow;

create temp table tombstones as
select
    *,
    right(tombstone, 4) as suffix
from tombstones_arrow;

create temp table suffixes as
select distinct
    customer_id,
    kind,
    suffix,
    case when kind = 'call' then ('0x' || suffix)::integer end as of_call
from tombstones;

-- name: found
-- The keys in the batch that are of somebody who was erased. A tombstone is made only of keys that end like one.
create or replace temp table found as
with concerned as (
    select
        customer_id,
        call_key,
        agent_key,
        device_key,
        number_key,
        target_key,
        target_kind
    from admitted
    inner join erased_until using (customer_id)
    where occurred_at < calls_until
),

keys as (
    select distinct
        c.customer_id,
        'call' as kind,
        lower(lpad(hex(call_key), 16, '0')) as key
    from concerned as c
    semi join suffixes as s on c.customer_id = s.customer_id and s.kind = 'call' and (c.call_key & 65535) = s.of_call
    union
    select
        c.customer_id,
        'agent',
        agent_key
    from concerned as c
    semi join suffixes as s
        on c.customer_id = s.customer_id and s.kind = 'agent' and right(c.agent_key, 4) = s.suffix
    union
    select
        c.customer_id,
        'device',
        device_key
    from concerned as c
    semi join suffixes as s
        on c.customer_id = s.customer_id and s.kind = 'device' and right(c.device_key, 4) = s.suffix
    union
    select
        c.customer_id,
        'caller',
        number_key
    from concerned as c
    semi join suffixes as s
        on c.customer_id = s.customer_id and s.kind = 'caller' and right(c.number_key, 4) = s.suffix
    union
    select
        c.customer_id,
        case when target_kind = 'number' then 'caller' else 'agent' end,
        target_key
    from concerned as c
    semi join suffixes as s
        on c.customer_id = s.customer_id and s.kind in ('agent', 'caller') and right(c.target_key, 4) = s.suffix
),

-- Materialized: else it would be made anew for each tombstone of the customer.
asked as materialized (
    select
        k.*,
        left(sha256(u.secret || encode(k.kind || ':' || k.key)), 28) || right(k.key, 4) as tombstone
    from keys as k
    inner join erased_until as u on k.customer_id = u.customer_id
)

select
    a.customer_id,
    a.kind,
    a.key,
    tombstone,
    t.until
from asked as a
inner join tombstones as t using (customer_id, kind, tombstone);

-- name: without_erased
-- The events that may be handed over. `erased` says what was done to one.
with began as (
    select
        customer_id,
        call_key,
        min(occurred_at) as first_at
    from admitted
    where call_key is not null
    group by all
),

asked as (
    select
        e.*,
        -- A row in a call belongs to the side of the end on which the call began.
        coalesce(b.first_at, e.occurred_at) as began_at,
        calls.key is not null as of_call,
        coalesce(began_at < agents.until, false) as of_agent,
        agents.tombstone as tombstone_of_agent,
        coalesce(began_at < numbers.until, false) as has_number,
        coalesce(began_at < targets.until, false) as has_target,
        coalesce(began_at < devices.until, false) and e.call_key is not null as has_device
    from admitted as e
    left join began as b on e.customer_id = b.customer_id and e.call_key = b.call_key
    left join found as calls
        on e.customer_id = calls.customer_id
        and calls.kind = 'call'
        and lower(lpad(hex(e.call_key), 16, '0')) = calls.key
    left join found as agents
        on e.customer_id = agents.customer_id and agents.kind = 'agent' and e.agent_key = agents.key
    left join found as devices
        on e.customer_id = devices.customer_id and devices.kind = 'device' and e.device_key = devices.key
    left join found as numbers
        on e.customer_id = numbers.customer_id and numbers.kind = 'caller' and e.number_key = numbers.key
    left join found as targets
        on e.customer_id = targets.customer_id
        and targets.kind = case when e.target_kind = 'number' then 'caller' else 'agent' end
        and e.target_key = targets.key
),

marked as (
    select
        *,
        case
            when of_call then 'call'
            when of_agent then tombstone_of_agent
            when has_number or has_target or has_device then 'part'
        end as erased
    from asked
    where of_call or not of_agent or call_key is not null
)

select
    * exclude (began_at, of_call, of_agent, tombstone_of_agent, has_number, has_target, has_device)
    replace (
        case when erased is null then event_key else 0 end as event_key,
        erased is null and identified as identified,
        case when not of_call then call_key end as call_key,
        case when not (of_call or of_agent) then agent end as agent,
        case when not (of_call or of_agent) then agent_key end as agent_key,
        case when not (of_call or of_agent or has_device) then device_key end as device_key,
        case when not (of_call or has_number) then number_key end as number_key,
        case when not (of_call or has_target) then target_key end as target_key,
        case when not of_call then number_withheld end as number_withheld,
        case when not of_call then line end as line,
        case when not of_call then direction end as direction,
        case when not of_call then reason end as reason,
        case when not of_call then target end as target,
        case when not of_call then target_kind end as target_kind,
        case when not of_call then duration_s end as duration_s,
        case when not of_call then wait_s end as wait_s,
        case when not of_call then recorded end as recorded
    )
from marked
-- A source's own id tells that two rows are one event.
qualify erased is null or not identified or row_number() over (partition by customer_id, occurred_at, event_key) = 1;
