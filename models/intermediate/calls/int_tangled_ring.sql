-- A row is a finished attempt to reach an agent in a tangled call, or in a straight one that rings more than once.

with events as (
    select *
    from {{ ref('int_tangled_event') }}
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
        min(occurred_at) filter (where event = 'ring_started') over ring as first_started_at,
        min(visit_no) filter (where event = 'ring_started') over ring as first_visit_no,
        row_number() over (
            partition by customer_id, call_key, queue, agent_key, ring_no, event
            order by moment, reason, duration_s
        ) as nth_end
    from numbered
    window ring as (partition by customer_id, call_key, queue, agent_key, ring_no)
),

rings as (
    select
        *,
        -- A start has one end; a second end is an attempt of its own.
        case when nth_end = 1 then first_started_at end as started_at,
        case when nth_end = 1 then first_visit_no end as begun_visit_no
    from paired
    where event = 'ring_ended'
)

select
    customer_id,
    call_key,
    shows_holds,
    shows_wrapups,
    queue,
    coalesce(begun_visit_no, visit_no) as visit_no,
    agent_key,
    reason,
    {{ is_unanswered() }} as is_unanswered,
    moment as ended_moment,
    {{ beginning('started_at', 'occurred_at', 'duration_s') }} as started_at,
    {{ measured_seconds('duration_s', 'started_at', 'occurred_at') }} as ring_s
from rings
