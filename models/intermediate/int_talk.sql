-- A row is an agent's part of a call: from being connected to being released. A call handed from agent to agent
-- has several; one that is still going on has no end and no talk.

with events as (
    select *
    from {{ ref('int_call_event') }}
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

talks as (
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
        -- Where the source wrote two endings, the transfer is the true one.
        coalesce(
            min(duration_s) filter (where reason = 'transfer'),
            min(duration_s) filter (where event = 'agent_released')
        ) as talk_s,
        coalesce(
            min(reason) filter (where reason = 'transfer'),
            min(reason) filter (where event = 'agent_released')
        ) as release_reason
    from numbered
    group by customer_id, call_key, queue, agent_key, talk_no
)

select
    customer_id,
    call_key,
    queue,
    visit_no,
    agent_key,
    talk_no,
    connected_moment,
    coalesce(connected_at, released_at - {{ seconds_interval('coalesce(talk_s, 0)') }}) as connected_at,
    released_at,
    wait_s,
    coalesce(talk_s, {{ seconds_between('connected_at', 'released_at') }}) as talk_s,
    release_reason
from talks
