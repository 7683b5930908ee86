-- One row per agent and quarter-hour, only for days under a detailed contract.

with parts as (
    select * from {{ ref('int_agent_part') }}
),

rings as (
    select * from {{ ref('int_ring') }}
),

wrapups as (
    select * from {{ ref('int_agent_wrapup') }}
),

open_quarters as (
    select * from {{ ref('int_open_quarter') }}
),

days as (
    select * from {{ ref('stg_day') }}
    where option = 'detailed'
),

wrapup_parts as (
    select
        wrapups.customer_id,
        wrapups.agent_key,
        quarter_hours.interval_start,
        {{ seconds_in_quarter_hour('wrapups.began_at', 'wrapups.ended_at') }} as wrapup_s
    from wrapups
    cross join lateral {{ quarter_hours('wrapups.began_at', 'wrapups.ended_at') }}
),

facts as (
    select
        customer_id,
        call_date,
        days.time_zone,
        parts.agent_key,
        {{ quarter_hour('parts.begun_at') }} as interval_start,
        parts.begins_contact::integer as contacts,
        parts.is_outbound::integer as outbound_calls,
        0 as rings,
        0 as rings_answered,
        0 as rings_unanswered,
        0 as ring_s,
        parts.talk_s,
        parts.holds,
        parts.hold_s,
        parts.wrapup_s,
        parts.is_transferred::integer as transfers
    from parts
    inner join days using (customer_id, call_date)
    union all
    select
        customer_id,
        call_date,
        days.time_zone,
        rings.agent_key,
        {{ quarter_hour('rings.started_at') }} as interval_start,
        0 as contacts,
        0 as outbound_calls,
        1 as rings,
        (rings.reason = 'answered')::integer as rings_answered,
        rings.is_unanswered::integer as rings_unanswered,
        rings.ring_s,
        0 as talk_s,
        case when rings.shows_holds then 0 end as holds,
        case when rings.shows_holds then 0 end as hold_s,
        case when rings.shows_wrapups then 0 end as wrapup_s,
        0 as transfers
    from rings
    inner join days using (customer_id, call_date)
    union all
    select
        wrapup_parts.customer_id,
        days.call_date,
        days.time_zone,
        wrapup_parts.agent_key,
        wrapup_parts.interval_start,
        0 as contacts,
        0 as outbound_calls,
        0 as rings,
        0 as rings_answered,
        0 as rings_unanswered,
        0 as ring_s,
        0 as talk_s,
        null as holds,
        null as hold_s,
        wrapup_parts.wrapup_s,
        0 as transfers
    from wrapup_parts
    {{ day_of('wrapup_parts', 'wrapup_parts.interval_start') }}
),

-- A log can connect a call to nobody: that is no agent's contact. Nor is that of an agent who is left out.
summed as (
    select
        customer_id,
        call_date,
        agent_key,
        interval_start,
        interval_start at time zone min(time_zone) as interval_local,
        sum(contacts)::integer as contacts,
        sum(outbound_calls)::integer as outbound_calls,
        sum(rings)::integer as rings,
        sum(rings_answered)::integer as rings_answered,
        sum(rings_unanswered)::integer as rings_unanswered,
        {{ whole_sum('coalesce(sum(ring_s), 0)') }} as ring_s,
        {{ whole_sum('coalesce(sum(talk_s), 0)') }} as talk_s,
        sum(holds)::integer as holds,
        {{ whole_sum('sum(hold_s)') }} as hold_s,
        {{ whole_sum('sum(wrapup_s)') }} as wrapup_s,
        sum(transfers)::integer as transfers
    from facts
    where agent_key is not null and not {{ is_left_out('agent_key') }}
    group by customer_id, call_date, agent_key, interval_start
)

select
    summed.*,
    of_all.is_open as open
from summed
{{ opening('summed') }}
