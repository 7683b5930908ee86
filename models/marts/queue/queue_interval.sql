-- One row per queue and quarter-hour in which something happened.

with visits as (
    select * from {{ ref('int_visit') }}
),

refusals as (
    select * from {{ ref('int_refusal') }}
),

lengths as (
    select * from {{ ref('int_queue_length') }}
),

several_agents as (
    select * from {{ ref('int_several_agents') }}
),

erased_agents as (
    select * from {{ ref('int_erased_agent') }}
),

staffed as (
    select * from {{ ref('int_staffed') }}
),

needed as (
    select * from {{ ref('int_agents_needed') }}
),

-- If no source shows memberships of a queue on a day, its staffing is not known there.
staffed_days as (
    select distinct
        customer_id,
        call_date,
        queue
    from staffed
),

open_quarters as (
    select * from {{ ref('int_open_quarter') }}
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

-- The thresholds are the queue's own, or else the customer's.
measured as (
    select
        visits.*,
        {{ quarter_hour('visits.began_at') }} as interval_start,
        coalesce(queues.service_level_s, customers.service_level_s) as service_level_s,
        coalesce(queues.short_abandon_s, customers.short_abandon_s) as short_abandon_s
    from visits
    inner join customers on visits.customer_id = customers.customer_id
    left join queues
        on visits.customer_id = queues.customer_id
        and visits.queue = queues.queue
),

visit_counts as (
    select
        customer_id,
        call_date,
        queue,
        interval_start,
        count(*) as offered,
        count(*) filter (where outcome = 'answered') as answered,
        count(*) filter (where outcome = 'abandoned') as abandoned,
        count(*) filter (where outcome = 'abandoned' and wait_s < short_abandon_s) as short_abandoned,
        count(*) filter (where outcome = 'timeout') as timed_out,
        count(*) filter (where outcome = 'key') as left_by_key,
        count(*) filter (where outcome = 'empty') as left_empty,
        count(*) filter (where outcome in ('withdrawn', 'callback', 'system')) as left_otherwise,
        count(*) filter (where outcome = 'callback') as callbacks,
        count(*) filter (where outcome = 'still_open') as still_open,
        count(*) filter (where overflowed_to is not null) as overflowed,
        count(*) filter (where outcome = 'answered' and wait_s <= service_level_s) as answered_in_threshold,
        count(*) filter (where outcome = 'abandoned' and wait_s <= service_level_s) as abandoned_in_threshold,
        {%- for bound in wait_bounds() %}
            count(*) filter (where outcome = 'answered' and wait_s <= {{ bound }}) as answered_le_{{ bound }},
            count(*) filter (where outcome = 'abandoned' and wait_s <= {{ bound }}) as abandoned_le_{{ bound }},
        {%- endfor %}
        coalesce(sum({{ whole_seconds('wait_s') }}) filter (where outcome = 'answered'), 0) as wait_answered_s,
        coalesce(sum({{ whole_seconds('wait_s') }}) filter (where outcome = 'abandoned'), 0) as wait_abandoned_s,
        max({{ whole_seconds('wait_s') }}) as wait_max_s,
        sum(rings) as rings,
        sum(rings_answered) as rings_answered,
        sum(rings_unanswered) as rings_unanswered,
        sum(ring_s) as ring_s,
        sum(talk_s) as talk_s,
        bool_or(shows_holds) as shows_holds,
        sum(holds) as holds,
        count(*) filter (where holds > 0) as contacts_held,
        sum(hold_s) as hold_s,
        bool_or(shows_wrapups) as shows_wrapups,
        sum(wrapup_s) as wrapup_s,
        sum(transferred_blind) as transferred_blind,
        sum(transferred_attended) as transferred_attended
    from measured
    group by customer_id, call_date, queue, interval_start
),

refusals_of_days as (
    select
        refusals.*,
        days.call_date,
        {{ quarter_hour('refusals.refused_at') }} as interval_start
    from refusals
    inner join days
        on refusals.customer_id = days.customer_id
        and refusals.refused_at >= days.begins_at
        and refusals.refused_at < days.ends_at
),

refusal_counts as (
    select
        customer_id,
        call_date,
        queue,
        interval_start,
        count(*) filter (where reason = 'full') as refused_full,
        count(*) filter (where reason = 'empty') as refused_empty,
        count(*) filter (where reason = 'closed') as refused_closed,
        count(*) filter (where reason = 'busy') as refused_busy,
        bool_or(is_of_whole_source) as is_of_whole_source
    from refusals_of_days
    group by customer_id, call_date, queue, interval_start
),

-- Under a standard contract, the work of a queue's only agent would be that agent's profile. An erased
-- agent's work would be, too: it is what the queue shows less what the agents' marts show.
counted as (
    select
        *, -- noqa: RF02
        interval_start at time zone days.time_zone as interval_local,
        days.option = 'detailed' or several_agents.queue is not null as shows_staffing,
        (days.option = 'detailed' or several_agents.queue is not null) and erased_agents.queue is null as shows_agents,
        coalesce(visit_counts.shows_holds, false) or coalesce(refusal_counts.is_of_whole_source, false) as holds_known,
        coalesce(visit_counts.shows_wrapups, false) or coalesce(refusal_counts.is_of_whole_source, false)
            as wrapups_known
    from visit_counts
    full outer join refusal_counts using (customer_id, call_date, queue, interval_start)
    inner join days using (customer_id, call_date)
    left join several_agents using (customer_id, call_date, queue)
    left join erased_agents using (customer_id, call_date, queue)
)

select
    counted.customer_id,
    counted.call_date,
    {{ name_shown('counted.queue', 'counted.customer_id') }} as queue,
    counted.interval_start,
    counted.interval_local,
    coalesce(of_queue.is_open, of_all.is_open) as open,
    {%- for name in [
        'offered', 'answered', 'abandoned', 'short_abandoned', 'timed_out', 'left_by_key', 'left_empty',
        'left_otherwise', 'callbacks', 'still_open', 'overflowed', 'refused_full', 'refused_empty', 'refused_closed',
        'refused_busy', 'answered_in_threshold', 'abandoned_in_threshold', 'wait_answered_s', 'wait_abandoned_s'
    ] %}
        {{ whole_sum('coalesce(counted.' ~ name ~ ', 0)') }} as {{ name }},
    {%- endfor %}
    {%- for bound in wait_bounds() %}
        coalesce(counted.answered_le_{{ bound }}, 0)::integer as wait_answered_le_{{ bound }},
        coalesce(counted.abandoned_le_{{ bound }}, 0)::integer as wait_abandoned_le_{{ bound }},
    {%- endfor %}
    counted.wait_max_s::integer as wait_max_s,
    coalesce(lengths.queue_max, 0) as queue_max,
    {%- for name in [
        'rings', 'rings_answered', 'rings_unanswered', 'ring_s', 'talk_s', 'transferred_blind', 'transferred_attended'
    ] %}
        case when counted.shows_agents then {{ whole_sum('coalesce(counted.' ~ name ~ ', 0)') }} end as {{ name }},
    {%- endfor %}
    {%- for name in ['holds', 'contacts_held', 'hold_s'] %}
        case
            when counted.shows_agents and counted.holds_known
                then {{ whole_sum('coalesce(counted.' ~ name ~ ', 0)') }}
        end as {{ name }},
    {%- endfor %}
    case
        when counted.shows_agents and counted.wrapups_known then {{ whole_sum('coalesce(counted.wrapup_s, 0)') }}
    end as wrapup_s,
    case when counted.shows_staffing and staffed_days.queue is not null then coalesce(staffed.staffed_s, 0) end
        as staffed_s,
    case when counted.shows_agents then 900 * needed.agents end as needed_s
from counted
left join lengths using (customer_id, call_date, queue, interval_start)
left join staffed using (customer_id, call_date, queue, interval_start)
left join staffed_days using (customer_id, call_date, queue)
left join needed using (customer_id, call_date, queue, offered)
{{ opening('counted', of_queues=true) }}
