-- One row per contact with a queue, only for customers that have ordered a list of contacts.

with visits as (
    select * from {{ ref('int_visit') }}
),

refusals as (
    select * from {{ ref('int_refusal') }}
),

several_agents as (
    select * from {{ ref('int_several_agents') }}
),

erased_agents as (
    select * from {{ ref('int_erased_agent') }}
),

open_quarters as (
    select * from {{ ref('int_open_quarter') }}
),

days as (
    select * from {{ ref('stg_day') }}
),

lists as (
    select * from {{ ref('stg_contact_list') }}
),

customers as (
    select * from {{ ref('stg_customer') }}
),

queues as (
    select * from {{ ref('stg_queue') }}
),

of_days as (
    select
        days.customer_id,
        days.call_date,
        days.time_zone,
        days.option,
        days.begins_at,
        days.ends_at
    from days
    inner join lists
        on days.customer_id = lists.customer_id
        and days.call_date >= lists.first_day
),

-- A refused call was never offered, and nobody worked on it.
contacts as (
    select
        of_days.customer_id,
        of_days.call_date,
        of_days.time_zone,
        of_days.option,
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
        case when visits.shows_holds then visits.holds end as holds,
        case when visits.shows_holds then visits.hold_s end as hold_s,
        case when visits.shows_wrapups then visits.wrapup_s end as wrapup_s,
        visits.transferred_blind,
        visits.transferred_attended
    from visits
    inner join of_days using (customer_id, call_date)
    union all
    select
        of_days.customer_id,
        of_days.call_date,
        of_days.time_zone,
        of_days.option,
        refusals.queue,
        refusals.call_key,
        -row_number() over (
            partition by refusals.customer_id, refusals.call_key, refusals.queue order by refusals.refused_at
        ) as visit_no,
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
        case when refusals.is_of_whole_source then 0 end as holds,
        case when refusals.is_of_whole_source then 0 end as hold_s,
        case when refusals.is_of_whole_source then 0 end as wrapup_s,
        0 as transferred_blind,
        0 as transferred_attended
    from refusals
    inner join of_days
        on refusals.customer_id = of_days.customer_id
        and refusals.refused_at >= of_days.begins_at
        and refusals.refused_at < of_days.ends_at
),

-- What agents did is shown where queue_interval shows it.
measured as (
    select
        contacts.*,
        {{ quarter_hour('contacts.began_at') }} as interval_start,
        {{ quarter_hour('contacts.began_at') }} at time zone contacts.time_zone as interval_local,
        contacts.wait_s <= coalesce(queues.service_level_s, customers.service_level_s) as is_in_threshold,
        contacts.wait_s < coalesce(queues.short_abandon_s, customers.short_abandon_s) as is_short,
        (contacts.option = 'detailed' or several_agents.queue is not null) and erased_agents.queue is null
            as shows_agents
    from contacts
    inner join customers on contacts.customer_id = customers.customer_id
    left join queues
        on contacts.customer_id = queues.customer_id
        and contacts.queue = queues.queue
    left join several_agents
        on contacts.customer_id = several_agents.customer_id
        and contacts.call_date = several_agents.call_date
        and contacts.queue = several_agents.queue
    left join erased_agents
        on contacts.customer_id = erased_agents.customer_id
        and contacts.call_date = erased_agents.call_date
        and contacts.queue = erased_agents.queue
)

select
    measured.customer_id,
    measured.call_date,
    {{ name_shown('measured.queue', 'measured.customer_id') }} as queue,
    measured.call_key,
    measured.visit_no::integer as visit_no,
    measured.interval_start,
    measured.began_at as joined_at,
    measured.began_at at time zone measured.time_zone as joined_local,
    coalesce(of_queue.is_open, of_all.is_open) as open,
    measured.outcome,
    measured.offered,
    {{ whole_seconds('measured.wait_s') }} as wait_s,
    ceil(measured.wait_s)::integer as wait_ceiling_s,
    (measured.outcome = 'abandoned' and measured.is_short)::integer as short_abandoned,
    (measured.outcome = 'answered' and measured.is_in_threshold)::integer as answered_in_threshold,
    (measured.outcome = 'abandoned' and measured.is_in_threshold)::integer as abandoned_in_threshold,
    {{ name_shown('measured.overflowed_to', 'measured.customer_id') }} as overflowed_to,
    {%- for name in [
        'rings', 'rings_answered', 'rings_unanswered', 'ring_s', 'talk_s', 'holds', 'hold_s', 'wrapup_s',
        'transferred_blind', 'transferred_attended'
    ] %}
        case when measured.shows_agents then {{ whole_sum('measured.' ~ name) }} end as {{ name }},
    {%- endfor %}
    measured.caller_number
from measured
{{ opening('measured', of_queues=true) }}
