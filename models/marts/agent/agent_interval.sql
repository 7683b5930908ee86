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

facts as (
    select
        customer_id,
        agent_key,
        begun_at as happened_at,
        begins_contact::integer as contacts,
        is_outbound::integer as outbound_calls,
        0 as rings,
        0 as rings_answered,
        0 as rings_unanswered,
        0 as ring_s,
        talk_s,
        holds,
        hold_s,
        wrapup_s,
        is_transferred::integer as transfers
    from parts
    union all
    select
        customer_id,
        agent_key,
        started_at as happened_at,
        0 as contacts,
        0 as outbound_calls,
        1 as rings,
        (reason = 'answered')::integer as rings_answered,
        is_unanswered::integer as rings_unanswered,
        ring_s,
        0 as talk_s,
        case when shows_holds then 0 end as holds,
        case when shows_holds then 0 end as hold_s,
        case when shows_wrapups then 0 end as wrapup_s,
        0 as transfers
    from rings
    union all
    select
        wrapups.customer_id,
        wrapups.agent_key,
        quarter_hours.interval_start as happened_at,
        0 as contacts,
        0 as outbound_calls,
        0 as rings,
        0 as rings_answered,
        0 as rings_unanswered,
        0 as ring_s,
        0 as talk_s,
        null as holds,
        null as hold_s,
        {{ seconds_in_quarter_hour('wrapups.began_at', 'wrapups.ended_at') }} as wrapup_s,
        0 as transfers
    from wrapups
    cross join lateral {{ quarter_hours('wrapups.began_at', 'wrapups.ended_at') }}
),

-- A log can connect a call to nobody: that is no agent's contact. Nor is that of an agent who is left out.
summed as (
    select
        facts.customer_id,
        days.call_date,
        facts.agent_key,
        {{ quarter_hour('facts.happened_at') }} as interval_start,
        {{ quarter_hour('facts.happened_at') }} at time zone min(days.time_zone) as interval_local,
        sum(facts.contacts)::integer as contacts,
        sum(facts.outbound_calls)::integer as outbound_calls,
        sum(facts.rings)::integer as rings,
        sum(facts.rings_answered)::integer as rings_answered,
        sum(facts.rings_unanswered)::integer as rings_unanswered,
        {{ whole_sum('coalesce(sum(facts.ring_s), 0)') }} as ring_s,
        {{ whole_sum('coalesce(sum(facts.talk_s), 0)') }} as talk_s,
        sum(facts.holds)::integer as holds,
        {{ whole_sum('sum(facts.hold_s)') }} as hold_s,
        {{ whole_sum('sum(facts.wrapup_s)') }} as wrapup_s,
        sum(facts.transfers)::integer as transfers
    from facts
    {{ day_of('facts', 'facts.happened_at') }}
    where facts.agent_key is not null and not {{ is_left_out('facts.agent_key') }}
    group by facts.customer_id, days.call_date, facts.agent_key, {{ quarter_hour('facts.happened_at') }}
)

select
    summed.*,
    of_all.is_open as open
from summed
{{ opening('summed') }}
