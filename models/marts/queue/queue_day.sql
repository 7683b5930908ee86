-- One row per queue and local day on which contacts joined it.

with visits as (
    select * from {{ ref('int_visit') }}
),

lengths as (
    select * from {{ ref('int_queue_length') }}
),

callers as (
    select * from {{ ref('int_caller') }}
),

several_agents as (
    select * from {{ ref('int_several_agents') }}
),

left_out as (
    select * from {{ ref('int_left_out_agent') }}
),

staffed as (
    select
        customer_id,
        call_date,
        queue,
        sum(staffed_s) as staffed_s
    from {{ ref('int_staffed') }}
    group by customer_id, call_date, queue
),

-- If no source shows memberships of a queue on a day, its staffing is not known there.
membership_days as (
    select * from {{ ref('int_membership_day') }}
),

days as (
    select * from {{ ref('stg_day') }}
),

-- Before they are counted: of counts with their days PostgreSQL would expect one row, and nest the joins that follow.
of_days as (
    select
        visits.*,
        days.option
    from visits
    inner join days using (customer_id, call_date)
),

visit_counts as (
    select
        customer_id,
        call_date,
        queue,
        option,
        count(*) as offered,
        count(*) filter (where outcome = 'answered') as answered,
        count(*) filter (where outcome = 'abandoned') as abandoned,
        max({{ whole_seconds('wait_s') }}) as wait_max_s,
        max({{ whole_seconds('wait_s') }}) filter (where outcome = 'answered') as wait_answered_max_s,
        max({{ whole_seconds('wait_s') }}) filter (where outcome = 'abandoned') as wait_abandoned_max_s,
        max(talk_s) filter (where outcome = 'answered') as talk_max_s,
        count(*) filter (where number_key is null and number_withheld) as withheld,
        count(*) filter (where number_key is null and not number_withheld) as unnumbered
    from of_days
    group by customer_id, call_date, queue, option
),

longest as (
    select
        customer_id,
        call_date,
        queue,
        max(queue_max) as queue_max
    from lengths
    group by customer_id, call_date, queue
),

caller_counts as (
    select
        customer_id,
        call_date,
        queue,
        count(*) as callers,
        count(*) filter (where called_again) as repeat_callers_day,
        count(*) filter (where called_again_in_week) as repeat_callers_week
    from callers
    group by customer_id, call_date, queue
)

select
    customer_id,
    call_date,
    {{ name_shown('queue') }} as queue,
    visit_counts.offered::integer as offered,
    visit_counts.answered::integer as answered,
    visit_counts.abandoned::integer as abandoned,
    visit_counts.wait_max_s,
    visit_counts.wait_answered_max_s,
    visit_counts.wait_abandoned_max_s,
    longest.queue_max,
    coalesce(caller_counts.callers, 0)::integer as callers,
    coalesce(caller_counts.repeat_callers_day, 0)::integer as repeat_callers_day,
    coalesce(caller_counts.repeat_callers_week, 0)::integer as repeat_callers_week,
    visit_counts.withheld::integer as contacts_withheld,
    visit_counts.unnumbered::integer as contacts_unnumbered,
    case when {{ shows_work('visit_counts.option') }} then {{ whole_sum('visit_counts.talk_max_s') }} end as talk_max_s,
    case
        when {{ shows_work('visit_counts.option', 'has_staffed') }} and membership_days.queue is not null
            then coalesce(staffed.staffed_s, 0)
    end::integer as staffed_s
from visit_counts
left join longest using (customer_id, call_date, queue)
left join caller_counts using (customer_id, call_date, queue)
left join several_agents using (customer_id, call_date, queue)
left join left_out using (customer_id, call_date, queue)
left join staffed using (customer_id, call_date, queue)
left join membership_days using (customer_id, call_date, queue)
