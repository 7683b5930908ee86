-- A row is a finished attempt to reach an agent.

with days as (
    select * from {{ ref('stg_day') }}
),

rings as (
    select * from {{ ref('int_straight_ring') }}
    union all
    select * from {{ ref('int_tangled_ring') }}
)

select
    rings.customer_id,
    rings.call_key,
    rings.shows_holds,
    rings.shows_wrapups,
    rings.queue,
    rings.visit_no,
    rings.agent_key,
    rings.reason,
    rings.is_unanswered,
    rings.started_at,
    days.call_date,
    rings.ring_s
from rings
{{ day_of('rings', 'rings.started_at', join='left join') }}
