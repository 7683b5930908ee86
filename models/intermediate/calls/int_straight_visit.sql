-- A row is the one visit of a straight call to a queue, with its outcome.

with calls as (
    select
        *,
        rings_once and ring_ended_at is not null as has_one_ring
    from {{ ref('int_call') }}
    where is_straight and queue is not null
),

parts as (
    select * from {{ ref('int_straight_part') }}
    where part = 1
),

rings as (
    select * from {{ ref('int_tangled_ring') }}
),

-- The rings of a call that rings more than once. The one ring of another straight call is in its row.
ring_sums as (
    select
        customer_id,
        call_key,
        count(*) as rings,
        count(*) filter (where reason = 'answered') as rings_answered,
        count(*) filter (where is_unanswered) as rings_unanswered,
        sum(ring_s) as ring_s
    from rings
    group by customer_id, call_key
)

select
    calls.customer_id,
    calls.call_key,
    calls.queue,
    calls.joinings as visit_no,
    case when calls.joined_at is not null then calls.number_key end as number_key,
    calls.number_withheld,
    calls.joined_at,
    parts.connected_at,
    parts.wait_s as connected_wait_s,
    calls.left_at,
    calls.left_duration_s,
    calls.left_reason,
    null::text as next_queue,
    parts.agent_key as first_agent_key,
    parts.agent_key as last_agent_key,
    parts.talk_s,
    parts.holds,
    parts.hold_s,
    parts.wrapup_s,
    (parts.transferred = 'blind')::integer as transferred_blind,
    (parts.transferred = 'attended')::integer as transferred_attended,
    case when calls.has_one_ring then 1 else ring_sums.rings end as rings,
    case
        when calls.has_one_ring then (calls.ring_reason = 'answered')::integer
        else ring_sums.rings_answered
    end as rings_answered,
    case
        when calls.has_one_ring then ({{ is_unanswered('calls.ring_reason') }})::integer
        else ring_sums.rings_unanswered
    end as rings_unanswered,
    case
        when calls.has_one_ring
            then {{ measured_seconds('calls.ring_duration_s', 'calls.ring_started_at', 'calls.ring_ended_at') }}
        else ring_sums.ring_s
    end as ring_s,
    calls.shows_holds,
    calls.shows_wrapups,
    calls.last_at as call_last_at
from calls
left join parts
    on calls.customer_id = parts.customer_id
    and calls.call_key = parts.call_key
left join ring_sums
    on calls.customer_id = ring_sums.customer_id
    and calls.call_key = ring_sums.call_key
where calls.joined_at is not null or calls.left_at is not null or parts.call_key is not null
