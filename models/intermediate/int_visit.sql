-- A row is a visit of a call to a queue (a contact), with what came of it. Visits of other days than the window's are
-- in it as well, as far as their calls have a part in the window.

with calls as (
    select * from {{ ref('int_call') }}
),

events as (
    select * from {{ ref('int_call_event') }}
    where queue is not null
),

parts as (
    select * from {{ ref('int_agent_part') }}
    where queue is not null
),

rings as (
    select * from {{ ref('int_ring') }}
    where queue is not null
),

customers as (
    select * from {{ source('registry', 'customer') }}
),

tangled_visits as (
    select
        customer_id,
        call_key,
        queue,
        visit_no,
        min(occurred_at) filter (where event = 'queue_joined') as joined_at,
        min(moment) as moment,
        min(number_key) filter (where event = 'queue_joined') as number_key
    from events
    where event in ('queue_joined', 'agent_connected', 'agent_released', 'queue_left')
    group by customer_id, call_key, queue, visit_no
),

-- The call's next visit after this one says where it went on to.
ordered_visits as (
    select
        *,
        lead(queue) over (partition by customer_id, call_key order by moment, joined_at, queue, visit_no) as next_queue
    from tangled_visits
),

departures as (
    select distinct on (customer_id, call_key, queue, visit_no)
        customer_id,
        call_key,
        queue,
        visit_no,
        moment,
        reason,
        occurred_at,
        duration_s
    from events
    where event = 'queue_left'
    order by customer_id, call_key, queue, visit_no, moment, reason, duration_s
),

-- What comes after the caller left never reopens the visit.
answers as (
    select parts.*
    from parts
    left join departures using (customer_id, call_key, queue, visit_no)
    where
        not parts.is_straight
        and (departures.moment is null or parts.connected_moment <= departures.moment)
),

first_answers as (
    select distinct on (customer_id, call_key, queue, visit_no) *
    from answers
    order by customer_id, call_key, queue, visit_no, connected_moment, wait_s, connected_at
),

part_sums as (
    select
        customer_id,
        call_key,
        queue,
        visit_no,
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
        count(*) filter (where reason = 'answered') as rings_answered,
        count(*) filter (where is_unanswered) as rings_unanswered,
        sum(ring_s) as ring_s
    from rings
    where not is_straight
    group by customer_id, call_key, queue, visit_no
),

visits as (
    select
        visits.customer_id,
        visits.call_key,
        visits.queue,
        visits.visit_no,
        visits.number_key,
        visits.joined_at,
        first_answers.connected_at,
        first_answers.wait_s as connected_wait_s,
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
        ring_sums.ring_s
    from ordered_visits as visits
    left join departures using (customer_id, call_key, queue, visit_no)
    left join first_answers using (customer_id, call_key, queue, visit_no)
    left join part_sums using (customer_id, call_key, queue, visit_no)
    left join ring_sums using (customer_id, call_key, queue, visit_no)
    union all
    select
        calls.customer_id,
        calls.call_key,
        calls.queue,
        1 as visit_no,
        calls.number_key,
        calls.joined_at,
        parts.connected_at,
        parts.wait_s as connected_wait_s,
        calls.left_at,
        calls.left_duration_s,
        calls.left_reason,
        null as next_queue,
        parts.agent_key as first_agent_key,
        parts.agent_key as last_agent_key,
        parts.talk_s,
        parts.holds,
        parts.hold_s,
        parts.wrapup_s,
        (parts.transferred = 'blind')::integer as transferred_blind,
        (parts.transferred = 'attended')::integer as transferred_attended,
        (rings.call_key is not null)::integer as rings,
        (rings.reason = 'answered')::integer as rings_answered,
        rings.is_unanswered::integer as rings_unanswered,
        rings.ring_s
    from calls
    left join parts
        on calls.customer_id = parts.customer_id
        and calls.call_key = parts.call_key
        and parts.is_straight
    left join rings
        on calls.customer_id = rings.customer_id
        and calls.call_key = rings.call_key
        and rings.is_straight
    where
        calls.is_straight
        and calls.queue is not null
        and (calls.joined_at is not null or calls.left_at is not null or parts.call_key is not null)
),

-- Materialized: joined with the customers first, the planner would take the visits for one and loop over the rest.
timed as materialized (
    select
        visits.*,
        calls.number_withheld,
        calls.shows_holds,
        calls.shows_wrapups,
        coalesce(visits.number_key, calls.number_key) as caller_key,
        coalesce(
            visits.joined_at,
            visits.connected_at - {{ seconds_interval('coalesce(visits.connected_wait_s, 0)') }},
            visits.left_at - {{ seconds_interval('coalesce(visits.left_duration_s, 0)') }}
        ) as began_at,
        -- A wait that has no end is known to have lasted until the last that is heard of the call.
        coalesce(visits.connected_at, visits.left_at, calls.last_at) as wait_ended_at,
        case
            when visits.connected_at is not null then 'answered'
            when visits.left_reason is not null then visits.left_reason
            else 'still_open'
        end as outcome,
        greatest(
            case
                when visits.connected_at is not null
                    then coalesce(
                        visits.connected_wait_s,
                        {{ seconds_between('visits.joined_at', 'visits.connected_at') }},
                        0
                    )
                else coalesce(
                    visits.left_duration_s,
                    {{ seconds_between('visits.joined_at', 'visits.left_at') }},
                    0
                )
            end,
            0
        ) as finished_wait_s
    from visits
    inner join calls
        on visits.customer_id = calls.customer_id
        and visits.call_key = calls.call_key
)

select
    timed.customer_id,
    {{ local_date('timed.began_at', 'customers.time_zone') }} as call_date,
    timed.queue,
    timed.call_key,
    timed.visit_no,
    timed.began_at as joined_at,
    timed.wait_ended_at,
    timed.outcome,
    case when timed.outcome <> 'still_open' then timed.finished_wait_s end as wait_s,
    coalesce(timed.next_queue <> timed.queue, false) and timed.outcome not in ('answered', 'still_open')
        as is_overflowed,
    case when timed.joined_at is not null then timed.caller_key end as number_key,
    timed.number_withheld,
    timed.first_agent_key,
    timed.last_agent_key,
    coalesce(timed.rings, 0) as rings,
    coalesce(timed.rings_answered, 0) as rings_answered,
    coalesce(timed.rings_unanswered, 0) as rings_unanswered,
    coalesce(timed.ring_s, 0) as ring_s,
    coalesce(timed.talk_s, 0) as talk_s,
    coalesce(timed.holds, 0) as holds,
    coalesce(timed.hold_s, 0) as hold_s,
    coalesce(timed.wrapup_s, 0) as wrapup_s,
    coalesce(timed.transferred_blind, 0) as transferred_blind,
    coalesce(timed.transferred_attended, 0) as transferred_attended,
    coalesce(timed.shows_holds, false) as shows_holds,
    coalesce(timed.shows_wrapups, false) as shows_wrapups
from timed
inner join customers on timed.customer_id = customers.customer_id
