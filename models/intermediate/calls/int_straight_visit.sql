-- A row is the one visit of a straight call to a queue, with its outcome.

with calls as (
    select * from {{ ref('int_call') }}
    where is_straight and queue is not null
),

parts as (
    select * from {{ ref('int_straight_part') }}
    where part = 1
),

straight_rings as (
    select * from {{ ref('int_straight_ring') }}
),

tangled_rings as (
    select * from {{ ref('int_tangled_ring') }}
),

-- Most calls ring once, so they need no sums.
rings as (
    select
        customer_id,
        call_key,
        1 as rings,
        (reason = 'answered')::integer as rings_answered,
        is_unanswered::integer as rings_unanswered,
        ring_s
    from straight_rings
    union all
    select
        customer_id,
        call_key,
        count(*) as rings,
        count(*) filter (where reason = 'answered') as rings_answered,
        count(*) filter (where is_unanswered) as rings_unanswered,
        sum(ring_s) as ring_s
    from tangled_rings
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
    rings.rings,
    rings.rings_answered,
    rings.rings_unanswered,
    rings.ring_s,
    calls.shows_holds,
    calls.shows_wrapups,
    calls.last_at as call_last_at
from calls
left join parts
    on calls.customer_id = parts.customer_id
    and calls.call_key = parts.call_key
left join rings
    on calls.customer_id = rings.customer_id
    and calls.call_key = rings.call_key
where calls.joined_at is not null or calls.left_at is not null or parts.call_key is not null
