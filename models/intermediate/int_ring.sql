-- A row is an attempt to reach an agent that has ended. Where the source does not write when the ringing began, that
-- is its end less its duration; where it knows neither, the ring counts and has no seconds.

with calls as (
    select * from {{ ref('int_call') }}
),

events as (
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
        paired.customer_id,
        paired.call_key,
        false as is_straight,
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
    union all
    select
        customer_id,
        call_key,
        true as is_straight,
        shows_holds,
        shows_wrapups,
        queue,
        1 as visit_no,
        agent_key,
        ring_reason as reason,
        1 as ended_moment,
        ring_started_at as started_at,
        ring_ended_at as ended_at,
        ring_duration_s as duration_s
    from calls
    where is_straight and ring_ended_at is not null
)

select
    customer_id,
    call_key,
    is_straight,
    shows_holds,
    shows_wrapups,
    queue,
    visit_no,
    agent_key,
    reason,
    reason in ('no_answer', 'busy', 'declined', 'caller_left') as is_unanswered,
    ended_moment,
    coalesce(started_at, ended_at - {{ seconds_interval('coalesce(duration_s, 0)') }}) as started_at,
    ended_at,
    {{ whole_seconds('coalesce(duration_s, ' ~ seconds_between('started_at', 'ended_at') ~ ')') }} as ring_s
from rings
