-- A row is a visit of a call to a queue (a contact), on the day and in the quarter-hour in which it joined.

with events as (
    select * from {{ ref('int_call_event') }}
    where queue is not null
),

talks as (
    select * from {{ ref('int_talk') }}
    where queue is not null
),

rings as (
    select * from {{ ref('int_ring') }}
    where queue is not null
),

days as (
    select * from {{ ref('stg_day') }}
),

customers as (
    select * from {{ source('registry', 'customer') }}
),

queues as (
    select * from {{ source('registry', 'queue') }}
),

visits as (
    select
        customer_id,
        call_key,
        queue,
        visit_no,
        min(occurred_at) filter (where event = 'queue_joined') as joined_at
    from events
    where event in ('queue_joined', 'agent_connected', 'agent_released', 'queue_left')
    group by customer_id, call_key, queue, visit_no
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
    select talks.*
    from talks
    left join departures using (customer_id, call_key, queue, visit_no)
    where departures.moment is null or talks.connected_moment <= departures.moment
),

first_answers as (
    select distinct on (customer_id, call_key, queue, visit_no) *
    from answers
    order by customer_id, call_key, queue, visit_no, connected_moment, wait_s, connected_at
),

talk_sums as (
    select
        customer_id,
        call_key,
        queue,
        visit_no,
        sum({{ whole_seconds('talk_s') }}) as talk_s
    from answers
    group by customer_id, call_key, queue, visit_no
),

ring_sums as (
    select
        customer_id,
        call_key,
        queue,
        visit_no,
        sum({{ whole_seconds('ring_s') }}) as ring_s
    from rings
    group by customer_id, call_key, queue, visit_no
),

-- Materialized: joined with the customers first, the planner would take the visits for one and loop over the rest.
timed as materialized (
    select
        visits.customer_id,
        visits.call_key,
        visits.queue,
        visits.visit_no,
        coalesce(
            visits.joined_at,
            first_answers.connected_at - {{ seconds_interval('coalesce(first_answers.wait_s, 0)') }},
            departures.occurred_at - {{ seconds_interval('coalesce(departures.duration_s, 0)') }}
        ) as joined_at,
        case
            when first_answers.connected_at is not null then 'answered'
            when departures.reason is not null then departures.reason
            else 'still_open'
        end as outcome,
        greatest(
            case
                when first_answers.connected_at is not null
                    then coalesce(
                        first_answers.wait_s,
                        {{ seconds_between('visits.joined_at', 'first_answers.connected_at') }},
                        0
                    )
                when departures.reason is not null
                    then coalesce(
                        departures.duration_s,
                        {{ seconds_between('visits.joined_at', 'departures.occurred_at') }},
                        0
                    )
            end,
            0
        ) as finished_wait_s,
        first_answers.connected_at is null and departures.reason is null as is_open,
        coalesce(talk_sums.talk_s, 0) as talk_s,
        coalesce(ring_sums.ring_s, 0) as ring_s
    from visits
    left join departures using (customer_id, call_key, queue, visit_no)
    left join first_answers using (customer_id, call_key, queue, visit_no)
    left join talk_sums using (customer_id, call_key, queue, visit_no)
    left join ring_sums using (customer_id, call_key, queue, visit_no)
)

select
    timed.customer_id,
    days.call_date,
    timed.queue,
    {{ quarter_hour('timed.joined_at') }} as interval_start,
    timed.call_key,
    timed.visit_no,
    timed.joined_at,
    timed.outcome,
    case when not timed.is_open then timed.finished_wait_s end as wait_s,
    timed.talk_s,
    timed.ring_s,
    coalesce(queues.service_level_s, customers.service_level_s) as service_level_s,
    coalesce(queues.short_abandon_s, customers.short_abandon_s) as short_abandon_s,
    days.option,
    days.time_zone
from timed
inner join customers on timed.customer_id = customers.customer_id
inner join days
    on timed.customer_id = days.customer_id
    and {{ local_date('timed.joined_at', 'customers.time_zone') }} = days.call_date
left join queues
    on timed.customer_id = queues.customer_id
    and timed.queue = queues.queue
