-- A row is a call that an agent placed, as that agent's part of it.

with calls as (
    select * from {{ ref('int_call') }}
    where direction in ('outbound', 'internal') and placed_by is not null
),

events as (
    select * from {{ ref('int_tangled_event') }}
    where event = 'transferred'
),

transfers as (
    select
        customer_id,
        call_key,
        agent_key,
        min(occurred_at) as transferred_at
    from events
    group by customer_id, call_key, agent_key
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

talks as (
    select
        *,
        case when handed_on_at > answered_at then handed_on_at else ended_at end as talked_until
    from placed
)

select
    customer_id,
    call_key,
    0 as part,
    null::text as queue,
    0::bigint as visit_no,
    placed_by as agent_key,
    answered_at is not null as begins_contact,
    true as begins_call,
    0::bigint as connected_moment,
    answered_at as connected_at,
    talked_until as released_at,
    started_at as placed_at,
    null::double precision as wait_s,
    -- The source's own measure of the call would include the ringing.
    {{ whole_seconds(seconds_between('answered_at', 'talked_until')) }} as connected_s,
    end_reason as release_reason,
    shows_holds,
    shows_wrapups
from talks
