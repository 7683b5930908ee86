-- A row is a finished attempt to reach an agent.

with rings as (
    select * from {{ ref('int_straight_ring') }}
    union all
    select * from {{ ref('int_tangled_ring') }}
)

select
    customer_id,
    call_key,
    shows_holds,
    shows_wrapups,
    queue,
    visit_no,
    agent_key,
    reason,
    reason in ('no_answer', 'busy', 'declined', 'caller_left') as is_unanswered,
    {{ beginning('started_at', 'ended_at', 'duration_s') }} as started_at,
    ended_at,
    {{ measured_seconds('duration_s', 'started_at', 'ended_at') }} as ring_s
from rings
