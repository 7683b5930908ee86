-- One row per queue and quarter-hour in which something happened.

{% set visited = [
    'offered', 'answered', 'abandoned', 'short_abandoned', 'timed_out', 'left_by_key', 'left_empty', 'left_otherwise',
    'callbacks', 'still_open', 'overflowed', 'refused_full', 'refused_empty', 'refused_closed', 'refused_busy',
    'answered_in_threshold', 'abandoned_in_threshold', 'wait_answered_s', 'wait_abandoned_s'
] %}
{% for bound in wait_bounds() -%}
    {%- do visited.extend(['wait_answered_le_' ~ bound, 'wait_abandoned_le_' ~ bound]) -%}
{%- endfor %}
{% set worked = [
    'rings', 'rings_answered', 'rings_unanswered', 'ring_s', 'talk_s', 'transferred_blind', 'transferred_attended'
] %}

with contacts as (
    select * from {{ ref('int_contact') }}
),

lengths as (
    select * from {{ ref('int_queue_length') }}
),

several_agents as (
    select * from {{ ref('int_several_agents') }}
),

left_out as (
    select * from {{ ref('int_left_out_agent') }}
),

staffed as (
    select * from {{ ref('int_staffed') }}
),

needed as (
    select * from {{ ref('int_agents_needed') }}
),

-- If no source shows memberships of a queue on a day, its staffing is not known there.
membership_days as (
    select * from {{ ref('int_membership_day') }}
),

open_quarters as (
    select * from {{ ref('int_open_quarter') }}
),

days as (
    select * from {{ ref('stg_day') }}
),

counts as (
    select
        customer_id,
        call_date,
        queue,
        interval_start,
        {%- for name in visited + worked + ['holds', 'contacts_held', 'hold_s', 'wrapup_s'] %}
            {{ whole_sum('sum(' ~ name ~ ')') }} as {{ name }},
        {%- endfor %}
        max(whole_wait_s) as wait_max_s,
        coalesce(bool_or(shows_holds), false) as holds_known,
        coalesce(bool_or(shows_wrapups), false) as wrapups_known
    from contacts
    group by customer_id, call_date, queue, interval_start
),

counted as (
    select
        *, -- noqa: RF02
        counts.interval_start at time zone days.time_zone as interval_local,
        {{ shows_work('days.option') }} as shows_agents,
        {{ shows_work('days.option', 'has_staffed') }} as shows_staffing
    from counts
    -- Each count has a day. But of an inner join PostgreSQL would expect one row, and nest the joins that follow.
    left join days using (customer_id, call_date)
    left join several_agents using (customer_id, call_date, queue)
    left join left_out using (customer_id, call_date, queue)
)

select
    counted.customer_id,
    counted.call_date,
    {{ name_shown('counted.queue', 'counted.customer_id') }} as queue,
    counted.interval_start,
    counted.interval_local,
    coalesce(of_queue.is_open, of_all.is_open) as open,
    {%- for name in visited %}
        counted.{{ name }},
    {%- endfor %}
    counted.wait_max_s,
    coalesce(lengths.queue_max, 0) as queue_max,
    {%- for name in worked %}
        case when counted.shows_agents then counted.{{ name }} end as {{ name }},
    {%- endfor %}
    {%- for name in ['holds', 'contacts_held', 'hold_s'] %}
        case when counted.shows_agents and counted.holds_known then counted.{{ name }} end as {{ name }},
    {%- endfor %}
    case when counted.shows_agents and counted.wrapups_known then counted.wrapup_s end as wrapup_s,
    case when counted.shows_staffing and membership_days.queue is not null then coalesce(staffed.staffed_s, 0) end
        as staffed_s,
    case when counted.shows_agents then 900 * needed.agents end as needed_s
from counted
left join lengths using (customer_id, call_date, queue, interval_start)
left join staffed using (customer_id, call_date, queue, interval_start)
left join membership_days using (customer_id, call_date, queue)
left join needed using (customer_id, call_date, queue, offered)
{{ opening('counted', of_queues=true) }}
