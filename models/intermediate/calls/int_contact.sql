-- A row is a contact with a queue (a visit), or a call that a queue refused, with what it adds to each sum of
-- queue_interval.

with visits as (
    select * from {{ ref('int_visit') }}
),

refusals as (
    select * from {{ ref('int_refusal') }}
),

days as (
    select * from {{ ref('stg_day') }}
),

customers as (
    select * from {{ ref('stg_customer') }}
),

queues as (
    select * from {{ ref('stg_queue') }}
),

-- A refused call was never offered, and nobody worked on it. Its visit_no is negative, as visits have the positive
-- numbers.
contacts as (
    select
        visits.customer_id,
        visits.call_date,
        visits.queue,
        visits.call_key,
        visits.visit_no,
        visits.began_at,
        case visits.outcome
            when 'timeout' then 'timed_out'
            when 'key' then 'left_by_key'
            when 'empty' then 'left_empty'
            else visits.outcome
        end as outcome,
        1 as offered,
        visits.wait_s,
        visits.overflowed_to,
        case
            when visits.number_key is not null then 'shown'
            when visits.number_withheld then 'withheld'
            else 'unknown'
        end as caller_number,
        visits.rings,
        visits.rings_answered,
        visits.rings_unanswered,
        visits.ring_s,
        visits.talk_s,
        visits.shows_holds,
        visits.holds,
        visits.hold_s,
        visits.shows_wrapups,
        visits.wrapup_s,
        visits.transferred_blind,
        visits.transferred_attended
    from visits
    inner join days using (customer_id, call_date)
    union all
    select
        refusals.customer_id,
        days.call_date,
        refusals.queue,
        refusals.call_key,
        -refusals.refusal_no as visit_no,
        refusals.refused_at as began_at,
        'refused_' || refusals.reason as outcome,
        0 as offered,
        null as wait_s,
        null as overflowed_to,
        'unknown' as caller_number,
        0 as rings,
        0 as rings_answered,
        0 as rings_unanswered,
        0 as ring_s,
        0 as talk_s,
        refusals.shows_holds,
        0 as holds,
        0 as hold_s,
        refusals.shows_wrapups,
        0 as wrapup_s,
        0 as transferred_blind,
        0 as transferred_attended
    from refusals
    {{ day_of('refusals', 'refusals.refused_at') }}
),

-- The thresholds are the queue's own, or else the customer's.
measured as (
    select
        contacts.*,
        contacts.outcome = 'answered' as is_answered,
        contacts.outcome = 'abandoned' as is_abandoned,
        coalesce(queues.service_level_s, customers.service_level_s) as service_level_s,
        coalesce(queues.short_abandon_s, customers.short_abandon_s) as short_abandon_s
    from contacts
    inner join customers on contacts.customer_id = customers.customer_id
    left join queues
        on contacts.customer_id = queues.customer_id
        and contacts.queue = queues.queue
)

select
    customer_id,
    call_date,
    queue,
    {{ quarter_hour('began_at') }} as interval_start,
    call_key,
    visit_no::integer as visit_no,
    began_at,
    outcome,
    wait_s,
    {{ whole_seconds('wait_s') }} as whole_wait_s,
    overflowed_to,
    caller_number,
    service_level_s,
    short_abandon_s,
    shows_holds,
    shows_wrapups,
    offered,
    is_answered::integer as answered,
    is_abandoned::integer as abandoned,
    (is_abandoned and wait_s < short_abandon_s)::integer as short_abandoned,
    (outcome = 'timed_out')::integer as timed_out,
    (outcome = 'left_by_key')::integer as left_by_key,
    (outcome = 'left_empty')::integer as left_empty,
    (outcome in ('withdrawn', 'callback', 'system'))::integer as left_otherwise,
    (outcome = 'callback')::integer as callbacks,
    (outcome = 'still_open')::integer as still_open,
    (overflowed_to is not null)::integer as overflowed,
    (outcome = 'refused_full')::integer as refused_full,
    (outcome = 'refused_empty')::integer as refused_empty,
    (outcome = 'refused_closed')::integer as refused_closed,
    (outcome = 'refused_busy')::integer as refused_busy,
    (is_answered and wait_s <= service_level_s)::integer as answered_in_threshold,
    (is_abandoned and wait_s <= service_level_s)::integer as abandoned_in_threshold,
    {%- for bound in wait_bounds() %}
        (is_answered and wait_s <= {{ bound }})::integer as wait_answered_le_{{ bound }},
        (is_abandoned and wait_s <= {{ bound }})::integer as wait_abandoned_le_{{ bound }},
    {%- endfor %}
    case when is_answered then {{ whole_seconds('wait_s') }} else 0 end as wait_answered_s,
    case when is_abandoned then {{ whole_seconds('wait_s') }} else 0 end as wait_abandoned_s,
    {%- for name in [
        'rings', 'rings_answered', 'rings_unanswered', 'ring_s', 'talk_s', 'holds', 'hold_s', 'wrapup_s'
    ] %}
        {{ whole_sum(name) }} as {{ name }},
    {%- endfor %}
    (holds > 0)::integer as contacts_held,
    transferred_blind::integer as transferred_blind,
    transferred_attended::integer as transferred_attended
from measured
