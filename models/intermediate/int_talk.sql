-- A row is an agent's part of a call: from being connected to being released. A call handed from agent to agent
-- has several; one that is still going on has no end and no seconds. A call that an agent places is one too, where the
-- source does not connect that agent in so many words: connected when the other party answered, or never.

with calls as (
    select * from {{ ref('int_call') }}
),

events as (
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
        -- Where the source wrote two endings, the transfer is the true one.
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
        -- An agent who was connected twice in one contact has one contact, the first time.
        row_number() over (
            partition by customer_id, call_key, queue, visit_no, agent_key
            order by coalesce(connected_at, released_at - {{ seconds_interval('coalesce(duration_s, 0)') }}), talk_no
        ) = 1 as begins_contact
    from paired
),

placed as (
    select calls.*
    from calls
    left join paired
        on calls.customer_id = paired.customer_id
        and calls.call_key = paired.call_key
        and calls.placed_by = paired.agent_key
    where
        calls.direction in ('outbound', 'internal')
        and calls.placed_by is not null
        and paired.call_key is null
        and not (
            calls.is_straight
            and calls.placed_by = calls.agent_key
            and (calls.connected_at is not null or calls.released_at is not null)
        )
),

talks as (
    select
        customer_id,
        call_key,
        false as is_straight,
        part::integer as part,
        queue,
        visit_no,
        agent_key,
        begins_contact,
        connected_moment,
        connected_at,
        released_at,
        null::timestamptz as placed_at,
        wait_s,
        duration_s,
        release_reason
    from ordered
    union all
    select
        customer_id,
        call_key,
        true as is_straight,
        1 as part,
        queue,
        1 as visit_no,
        agent_key,
        true as begins_contact,
        1 as connected_moment,
        connected_at,
        released_at,
        null::timestamptz as placed_at,
        wait_s,
        talk_duration_s as duration_s,
        release_reason
    from calls
    where is_straight and (connected_at is not null or released_at is not null)
    union all
    select
        customer_id,
        call_key,
        is_straight,
        0 as part,
        null as queue,
        0 as visit_no,
        placed_by as agent_key,
        answered_at is not null as begins_contact,
        0 as connected_moment,
        answered_at as connected_at,
        ended_at as released_at,
        started_at as placed_at,
        null as wait_s,
        -- The source's own measure of the call would have the ringing in it.
        null as duration_s,
        end_reason as release_reason
    from placed
)

select
    customer_id,
    call_key,
    is_straight,
    part,
    queue,
    visit_no,
    agent_key,
    begins_contact,
    connected_moment,
    -- A placed call that nobody answered is nobody's talk.
    case
        when placed_at is null
            then coalesce(connected_at, released_at - {{ seconds_interval('coalesce(duration_s, 0)') }})
        else connected_at
    end as connected_at,
    released_at,
    placed_at,
    wait_s,
    {{ whole_seconds('coalesce(duration_s, ' ~ seconds_between('connected_at', 'released_at') ~ ')') }}
        as connected_s,
    release_reason
from talks
