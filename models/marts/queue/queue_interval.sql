-- A row is a quarter-hour of a queue in which something happened. Contacts count in the quarter-hour in which they
-- joined the queue, whatever became of them later.

with visits as (
    select * from {{ ref('int_visit') }}
),

talks as (
    select * from {{ ref('int_talk') }}
),

events as (
    select * from {{ ref('int_call_event') }}
),

days as (
    select * from {{ ref('stg_day') }}
),

refusals as (
    select
        events.customer_id,
        days.call_date,
        events.queue,
        {{ quarter_hour('events.occurred_at') }} as interval_start,
        days.time_zone,
        events.reason
    from events
    inner join days
        on events.customer_id = days.customer_id
        and events.occurred_at >= days.begins_at
        and events.occurred_at < days.ends_at
    where events.event = 'queue_refused'
),

visit_counts as (
    select
        customer_id,
        call_date,
        queue,
        interval_start,
        min(time_zone) as time_zone,
        count(*) as offered,
        count(*) filter (where outcome = 'answered') as answered,
        count(*) filter (where outcome = 'abandoned') as abandoned,
        count(*) filter (where outcome = 'abandoned' and wait_s < short_abandon_s) as short_abandoned,
        count(*) filter (where outcome = 'timeout') as timed_out,
        count(*) filter (where outcome = 'key') as left_by_key,
        count(*) filter (where outcome = 'empty') as left_empty,
        count(*) filter (where outcome in ('withdrawn', 'callback', 'system')) as left_otherwise,
        count(*) filter (where outcome = 'still_open') as still_open,
        count(*) filter (where outcome = 'answered' and wait_s <= service_level_s) as answered_in_threshold,
        count(*) filter (where outcome = 'abandoned' and wait_s <= service_level_s) as abandoned_in_threshold,
        coalesce(sum({{ whole_seconds('wait_s') }}) filter (where outcome = 'answered'), 0) as wait_answered_s,
        coalesce(sum({{ whole_seconds('wait_s') }}) filter (where outcome = 'abandoned'), 0) as wait_abandoned_s,
        max({{ whole_seconds('wait_s') }}) as wait_max_s,
        sum(ring_s) as ring_s,
        sum(talk_s) as talk_s
    from visits
    group by customer_id, call_date, queue, interval_start
),

refusal_counts as (
    select
        customer_id,
        call_date,
        queue,
        interval_start,
        min(time_zone) as time_zone,
        count(*) filter (where reason = 'full') as refused_full,
        count(*) filter (where reason = 'empty') as refused_empty,
        count(*) filter (where reason = 'closed') as refused_closed,
        count(*) filter (where reason = 'busy') as refused_busy
    from refusals
    group by customer_id, call_date, queue, interval_start
),

-- Under standard, what one agent alone handled in a queue would be that agent's profile.
profiles as (
    select
        visits.customer_id,
        visits.call_date,
        visits.queue
    from visits
    left join talks using (customer_id, call_key, queue, visit_no)
    where visits.option = 'standard'
    group by visits.customer_id, visits.call_date, visits.queue
    having count(distinct talks.agent_key) < 2
)

select
    customer_id,
    call_date,
    queue,
    interval_start,
    interval_start at time zone coalesce(visit_counts.time_zone, refusal_counts.time_zone) as interval_local,
    coalesce(visit_counts.offered, 0)::integer as offered,
    coalesce(visit_counts.answered, 0)::integer as answered,
    coalesce(visit_counts.abandoned, 0)::integer as abandoned,
    coalesce(visit_counts.short_abandoned, 0)::integer as short_abandoned,
    coalesce(visit_counts.timed_out, 0)::integer as timed_out,
    coalesce(visit_counts.left_by_key, 0)::integer as left_by_key,
    coalesce(visit_counts.left_empty, 0)::integer as left_empty,
    coalesce(visit_counts.left_otherwise, 0)::integer as left_otherwise,
    coalesce(visit_counts.still_open, 0)::integer as still_open,
    coalesce(refusal_counts.refused_full, 0)::integer as refused_full,
    coalesce(refusal_counts.refused_empty, 0)::integer as refused_empty,
    coalesce(refusal_counts.refused_closed, 0)::integer as refused_closed,
    coalesce(refusal_counts.refused_busy, 0)::integer as refused_busy,
    coalesce(visit_counts.answered_in_threshold, 0)::integer as answered_in_threshold,
    coalesce(visit_counts.abandoned_in_threshold, 0)::integer as abandoned_in_threshold,
    coalesce(visit_counts.wait_answered_s, 0)::integer as wait_answered_s,
    coalesce(visit_counts.wait_abandoned_s, 0)::integer as wait_abandoned_s,
    visit_counts.wait_max_s::integer as wait_max_s,
    case when profiles.queue is null then coalesce(visit_counts.ring_s, 0) end::integer as ring_s,
    case when profiles.queue is null then coalesce(visit_counts.talk_s, 0) end::integer as talk_s
from visit_counts
full outer join refusal_counts using (customer_id, call_date, queue, interval_start)
left join profiles using (customer_id, call_date, queue)
