-- A row is an agent's part of a tangled call: a talk, from connection to release, or the placing of the call.

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
        coalesce(min(visit_no) filter (where event = 'agent_connected'), min(visit_no)) as connected_visit_no,
        min(visit_no) as first_visit_no,
        coalesce(min(moment) filter (where event = 'agent_connected'), min(moment)) as connected_moment,
        min(occurred_at) filter (where event = 'agent_connected') as connected_at,
        min(occurred_at) filter (where event = 'agent_released') as released_at,
        -- The duration of agent_connected is that of the wait before it.
        coalesce(
            min(duration_s) filter (where event = 'agent_connected'),
            min(wait_s) filter (where event = 'agent_released')
        ) as wait_s,
        -- Of several ends the transfer counts, or else the first one, with its own measure.
        (
            array_agg(duration_s order by reason is distinct from 'transfer', moment, reason, duration_s)
            filter (where event = 'agent_released')
        )[1] as duration_s,
        (
            array_agg(reason order by reason is distinct from 'transfer', moment, reason)
            filter (where event = 'agent_released')
        )[1] as release_reason,
        bool_or(shows_holds) as shows_holds,
        bool_or(shows_wrapups) as shows_wrapups
    from numbered
    group by customer_id, call_key, queue, agent_key, talk_no
),

-- If an agent is connected and released in the moment in which the call joins again, the connection has the number of
-- the next visit. It is of the one that the release ends, if that had no answer before.
of_visits as (
    select
        *,
        case
            when connected_moment = min(connected_moment) over of_visit then first_visit_no
            else connected_visit_no
        end as visit_no
    from paired
    window of_visit as (partition by customer_id, call_key, queue, first_visit_no)
),

first_told as (
    select
        *,
        -- If an agent is connected twice in one contact, only the first part begins it.
        row_number() over (
            partition by customer_id, call_key, queue, visit_no, agent_key
            order by {{ beginning('connected_at', 'released_at', 'duration_s') }}, talk_no
        ) = 1 as begins_contact,
        row_number() over (
            partition by customer_id, call_key, agent_key order by connected_moment, connected_at, queue, talk_no
        ) = 1 as begins_call
    from of_visits
),

-- The agent who placed the call is connected when the other party answers, if the source shows neither the connection
-- nor the length of the talk.
with_placers as (
    select
        first_told.*,
        placed_talks.placed_at,
        placed_talks.connected_at as picked_up_at
    from first_told
    left join placed_talks
        on first_told.customer_id = placed_talks.customer_id
        and first_told.call_key = placed_talks.call_key
        and first_told.agent_key = placed_talks.agent_key
        and first_told.released_at >= placed_talks.connected_at
        and first_told.begins_call
        and first_told.connected_at is null
        and first_told.duration_s is null
        and first_told.queue is null
),

begun as (
    select
        *,
        coalesce(connected_at, picked_up_at) as talked_from,
        case when picked_up_at is null then connected_moment else 0 end as begun_moment
    from with_placers
),

with_parts as (
    select
        *,
        row_number() over (
            partition by customer_id, call_key order by begun_moment, connected_at, queue, agent_key, talk_no
        ) as part
    from begun
)

select
    customer_id,
    call_key,
    part::integer as part,
    queue,
    visit_no,
    agent_key,
    begins_contact,
    begins_call,
    begun_moment as connected_moment,
    {{ beginning('talked_from', 'released_at', 'duration_s') }} as connected_at,
    released_at,
    placed_at,
    wait_s,
    {{ measured_seconds('duration_s', 'talked_from', 'released_at') }} as connected_s,
    release_reason,
    shows_holds,
    shows_wrapups
from with_parts
union all
-- int_placed_talk has its columns in the order of those above.
select placed_talks.*
from placed_talks
inner join calls
    on placed_talks.customer_id = calls.customer_id
    and placed_talks.call_key = calls.call_key
left join with_parts
    on placed_talks.customer_id = with_parts.customer_id
    and placed_talks.call_key = with_parts.call_key
    and placed_talks.agent_key = with_parts.agent_key
where with_parts.call_key is null
