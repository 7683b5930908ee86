-- A row is an agent's talk in a tangled call: from being connected to being released, or the placing of the call by an
-- agent. A call handed from agent to agent has several. A talk that goes on has no end and no seconds.

with calls as (
    select * from {{ ref('int_call') }}
    where not is_straight
),

placed_talks as (
    select * from {{ ref('int_placed_talk') }}
),

events as (
    select *
    from {{ ref('int_tangled_event') }}
    where event in ('agent_connected', 'agent_released')
),

numbered as (
    {{ number_phases(
        'events',
        name='talk_no',
        starts="event = 'agent_connected'",
        ends="event = 'agent_released'",
        partition='customer_id, call_key, queue, agent_key',
    ) }}
),

paired as (
    select
        customer_id,
        call_key,
        queue,
        agent_key,
        talk_no,
        coalesce(min(visit_no) filter (where event = 'agent_connected'), min(visit_no)) as visit_no,
        coalesce(min(moment) filter (where event = 'agent_connected'), min(moment)) as connected_moment,
        min(occurred_at) filter (where event = 'agent_connected') as connected_at,
        min(occurred_at) filter (where event = 'agent_released') as released_at,
        coalesce(
            min(duration_s) filter (where event = 'agent_connected'),
            min(wait_s) filter (where event = 'agent_released')
        ) as wait_s,
        -- If the source shows two endings, the transfer counts.
        coalesce(
            min(duration_s) filter (where reason = 'transfer'),
            min(duration_s) filter (where event = 'agent_released')
        ) as duration_s,
        coalesce(
            min(reason) filter (where reason = 'transfer'),
            min(reason) filter (where event = 'agent_released')
        ) as release_reason
    from numbered
    group by customer_id, call_key, queue, agent_key, talk_no
),

ordered as (
    select
        *,
        row_number() over (
            partition by customer_id, call_key order by connected_moment, connected_at, queue, agent_key, talk_no
        ) as part,
        -- An agent who is connected twice in one contact counts it once, with the first connection.
        row_number() over (
            partition by customer_id, call_key, queue, visit_no, agent_key
            order by {{ beginning('connected_at', 'released_at', 'duration_s') }}, talk_no
        ) = 1 as begins_contact
    from paired
)

select
    customer_id,
    call_key,
    part::integer as part,
    queue,
    visit_no,
    agent_key,
    begins_contact,
    connected_moment,
    {{ beginning('connected_at', 'released_at', 'duration_s') }} as connected_at,
    released_at,
    null::timestamptz as placed_at,
    wait_s,
    {{ measured_seconds('duration_s', 'connected_at', 'released_at') }} as connected_s,
    release_reason
from ordered
union all
select placed_talks.*
from placed_talks
inner join calls
    on placed_talks.customer_id = calls.customer_id
    and placed_talks.call_key = calls.call_key
left join ordered
    on placed_talks.customer_id = ordered.customer_id
    and placed_talks.call_key = ordered.call_key
    and placed_talks.agent_key = ordered.agent_key
where ordered.call_key is null
