-- A row is a finished attempt to reach an agent.

with days as (
    select * from {{ ref('stg_day') }}
),

rings as (
    select * from {{ ref('int_straight_ring') }}
    union all
    select * from {{ ref('int_tangled_ring') }}
),

begun as (
    select
        *,
        {{ beginning('started_at', 'ended_at', 'duration_s') }} as begun_at
    from rings
)

select
    begun.customer_id,
    begun.call_key,
    begun.shows_holds,
    begun.shows_wrapups,
    begun.queue,
    begun.visit_no,
    begun.agent_key,
    begun.reason,
    begun.reason in ('no_answer', 'busy', 'declined', 'caller_left') as is_unanswered,
    begun.begun_at as started_at,
    days.call_date,
    begun.ended_at,
    {{ measured_seconds('begun.duration_s', 'begun.started_at', 'begun.ended_at') }} as ring_s
from begun
{{ day_of('begun', 'begun.begun_at', join='left join') }}
