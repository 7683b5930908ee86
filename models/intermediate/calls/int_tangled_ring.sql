-- A row is a finished attempt to reach an agent in a tangled call.

with calls as (
    select * from {{ ref('int_call') }}
),

events as (
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
        min(occurred_at) filter (where event = 'ring_started') over ring as started_at,
        row_number() over (
            partition by customer_id, call_key, queue, agent_key, ring_no, event
            order by moment, reason, duration_s
        ) as nth_end
    from numbered
    window ring as (partition by customer_id, call_key, queue, agent_key, ring_no)
)

select
    paired.customer_id,
    paired.call_key,
    calls.shows_holds,
    calls.shows_wrapups,
    paired.queue,
    paired.visit_no,
    paired.agent_key,
    paired.reason,
    paired.moment as ended_moment,
    -- A start has one end; a second end is an attempt of its own.
    case when paired.nth_end = 1 then paired.started_at end as started_at,
    paired.occurred_at as ended_at,
    paired.duration_s
from paired
inner join calls
    on paired.customer_id = calls.customer_id
    and paired.call_key = calls.call_key
where paired.event = 'ring_ended'
