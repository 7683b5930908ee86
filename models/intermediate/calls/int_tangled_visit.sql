-- A row is a visit of a tangled call to a queue, with its outcome.

-- Not materialized, as all events would be written once more.
with events as not materialized (
    select * from {{ ref('int_tangled_event') }}
    where queue is not null
),

parts as (
    select * from {{ ref('int_tangled_part') }}
),

rings as (
    select * from {{ ref('int_tangled_ring') }}
),

visits as (
    select
        customer_id,
        call_key,
        queue,
        visit_no,
        min(occurred_at) filter (where event = 'queue_joined') as joined_at,
        {{ first_said('number_key', "number_key is not null and event = 'queue_joined'") }} as number_key,
        bool_or(number_withheld) as number_withheld,
        min(moment) filter (where event = 'queue_left') as left_moment,
        min(moment) filter (where event in ('queue_left', 'agent_released')) as ended_moment,
        min(moment) as moment,
        bool_or(shows_holds) as shows_holds,
        bool_or(shows_wrapups) as shows_wrapups,
        max(call_last_at) as call_last_at
    from events
    where event in ('queue_joined', 'agent_connected', 'agent_released', 'queue_left')
    group by customer_id, call_key, queue, visit_no
),

-- The call's next visit shows to which queue it went on. Of those that begin in one moment, one that ends in it is the
-- earlier one.
ordered_visits as (
    select
        *,
        lead(queue) over (
            partition by customer_id, call_key
            order by moment, ended_moment nulls last, joined_at, queue, visit_no
        ) as next_queue
    from visits
),

departures as (
    select distinct on (customer_id, call_key, queue, visit_no)
        customer_id,
        call_key,
        queue,
        visit_no,
        reason,
        occurred_at,
        duration_s
    from events
    where event = 'queue_left'
    order by customer_id, call_key, queue, visit_no, moment, reason, duration_s
),

-- An answer after the caller left never reopens the visit.
answers as (
    select parts.*
    from parts
    inner join visits
        on parts.customer_id = visits.customer_id
        and parts.call_key = visits.call_key
        and parts.queue = visits.queue
        and parts.visit_no = visits.visit_no
    where visits.left_moment is null or parts.connected_moment <= visits.left_moment
),

part_sums as (
    select
        customer_id,
        call_key,
        queue,
        visit_no,
        -- By the time, as the moment of a talk without a beginning is that of its end.
        (array_agg(connected_at order by connected_at, connected_moment, wait_s))[1] as connected_at,
        (array_agg(wait_s order by connected_at, connected_moment, wait_s))[1] as connected_wait_s,
        min(agent_key) as first_agent_key,
        max(agent_key) as last_agent_key,
        sum(talk_s) as talk_s,
        sum(holds) as holds,
        sum(hold_s) as hold_s,
        sum(wrapup_s) as wrapup_s,
        count(*) filter (where transferred = 'blind') as transferred_blind,
        count(*) filter (where transferred = 'attended') as transferred_attended
    from answers
    group by customer_id, call_key, queue, visit_no
),

ring_sums as (
    select
        customer_id,
        call_key,
        queue,
        visit_no,
        count(*) as rings,
        count(*) filter (where rings.reason = 'answered') as rings_answered,
        count(*) filter (where rings.is_unanswered) as rings_unanswered,
        sum(rings.ring_s) as ring_s
    from visits
    inner join rings using (customer_id, call_key, queue, visit_no)
    group by customer_id, call_key, queue, visit_no
)

select
    customer_id,
    call_key,
    queue,
    visit_no,
    visits.number_key,
    visits.number_withheld,
    visits.joined_at,
    part_sums.connected_at,
    part_sums.connected_wait_s,
    departures.occurred_at as left_at,
    departures.duration_s as left_duration_s,
    departures.reason as left_reason,
    visits.next_queue,
    part_sums.first_agent_key,
    part_sums.last_agent_key,
    part_sums.talk_s,
    part_sums.holds,
    part_sums.hold_s,
    part_sums.wrapup_s,
    part_sums.transferred_blind,
    part_sums.transferred_attended,
    ring_sums.rings,
    ring_sums.rings_answered,
    ring_sums.rings_unanswered,
    ring_sums.ring_s,
    visits.shows_holds,
    visits.shows_wrapups,
    visits.call_last_at
from ordered_visits as visits
left join departures using (customer_id, call_key, queue, visit_no)
left join part_sums using (customer_id, call_key, queue, visit_no)
left join ring_sums using (customer_id, call_key, queue, visit_no)
