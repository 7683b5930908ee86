-- A row is a call that an agent placed, as that agent's part of it.

with calls as not materialized (
    select * from {{ ref('int_call') }}
    where direction in ('outbound', 'internal') and placed_by is not null
),

events as not materialized (
    select * from {{ ref('int_tangled_event') }}
    where event in ('agent_connected', 'transferred')
),

transfers as (
    select
        customer_id,
        call_key,
        agent_key,
        min(occurred_at) as transferred_at
    from events
    where event = 'transferred'
    group by customer_id, call_key, agent_key
),

-- Few sources tell that an internal call was answered, but they connect the one who answers.
colleagues as (
    select
        calls.customer_id,
        calls.call_key,
        min(events.occurred_at) as connected_at
    from calls
    inner join events
        on calls.customer_id = events.customer_id
        and calls.call_key = events.call_key
        and calls.placed_by is distinct from events.agent_key
    where
        calls.direction = 'internal'
        and events.event = 'agent_connected'
    group by calls.customer_id, calls.call_key
),

-- An agent who hands the call on talks no longer. In a straight call nobody else does.
placed as (
    select
        calls.*,
        case when calls.is_straight then calls.transferred_at else transfers.transferred_at end as handed_on_at
    from calls
    left join transfers
        on calls.customer_id = transfers.customer_id
        and calls.call_key = transfers.call_key
        and calls.placed_by = transfers.agent_key
),

-- Whoever is connected after the agent handed the call on did not answer that agent.
answered as (
    select
        placed.*,
        coalesce(placed.answered_at, colleagues.connected_at) as picked_up_at
    from placed
    left join colleagues
        on placed.customer_id = colleagues.customer_id
        and placed.call_key = colleagues.call_key
        and coalesce(placed.handed_on_at > colleagues.connected_at, true)
),

talks as (
    select
        *,
        case when handed_on_at > picked_up_at then handed_on_at else ended_at end as talked_until
    from answered
)

select
    customer_id,
    call_key,
    0 as part,
    null::text as queue,
    0::bigint as visit_no,
    placed_by as agent_key,
    picked_up_at is not null as begins_contact,
    true as begins_call,
    0::bigint as connected_moment,
    picked_up_at as connected_at,
    talked_until as released_at,
    started_at as placed_at,
    null::double precision as wait_s,
    -- The source's own measure of the call would include the ringing.
    {{ whole_seconds(seconds_between('picked_up_at', 'talked_until')) }} as connected_s,
    end_reason as release_reason,
    shows_holds,
    shows_wrapups
from talks
