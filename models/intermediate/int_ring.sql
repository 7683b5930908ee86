-- A row is an attempt to reach an agent that has ended. Where the source does not write when the ringing began, that
-- is its end less its duration; where it knows neither, the ring counts and has no seconds.

with events as (
    select *
    from {{ ref('int_call_event') }}
    where event in ('ring_started', 'ring_ended')
),

numbered as (
    {{ number_phases(
        'events',
        name='ring_no',
        starts="event = 'ring_started'",
        ends="event = 'ring_ended'",
        partition='customer_id, call_key, queue, agent_key',
    ) }}
),

paired as (
    select
        *,
        min(occurred_at) filter (where event = 'ring_started') over ring as started_at,
        row_number() over (
            partition by customer_id, call_key, queue, agent_key, ring_no, event
            order by moment, reason, duration_s
        ) as nth_end
    from numbered
    window ring as (partition by customer_id, call_key, queue, agent_key, ring_no)
),

rings as (
    select
        customer_id,
        call_key,
        queue,
        visit_no,
        agent_key,
        reason,
        occurred_at as ended_at,
        duration_s,
        -- A start has one end; a second end is an attempt of its own.
        case when nth_end = 1 then started_at end as started_at
    from paired
    where event = 'ring_ended'
)

select
    customer_id,
    call_key,
    queue,
    visit_no,
    agent_key,
    reason,
    coalesce(started_at, ended_at - {{ seconds_interval('coalesce(duration_s, 0)') }}) as started_at,
    ended_at,
    coalesce(duration_s, {{ seconds_between('started_at', 'ended_at') }}) as ring_s
from rings
