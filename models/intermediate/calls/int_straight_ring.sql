-- A row is the one finished attempt to reach an agent in a straight call that rings once.

with calls as (
    select * from {{ ref('int_call') }}
    where is_straight and rings_once
)

select
    customer_id,
    call_key,
    shows_holds,
    shows_wrapups,
    queue,
    joinings as visit_no,
    ring_agent_key as agent_key,
    ring_reason as reason,
    {{ is_unanswered('ring_reason') }} as is_unanswered,
    1::bigint as ended_moment,
    {{ beginning('ring_started_at', 'ring_ended_at', 'ring_duration_s') }} as started_at,
    {{ measured_seconds('ring_duration_s', 'ring_started_at', 'ring_ended_at') }} as ring_s
from calls
where ring_ended_at is not null
