-- One row per agent, queue and quarter-hour, only for days under a detailed contract.

with parts as (
    select * from {{ ref('int_agent_part') }}
),

rings as (
    select * from {{ ref('int_ring') }}
),

members as (
    select * from {{ ref('int_member') }}
),

-- If no source shows memberships of a queue on a day, nobody's time as a member is known there.
membership_days as (
    select * from {{ ref('int_membership_day') }}
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
        call_date,
        days.time_zone,
        parts.agent_key,
        parts.queue,
        {{ quarter_hour('parts.begun_at') }} as interval_start,
        parts.begins_contact::integer as contacts,
        0 as rings,
        0 as rings_unanswered,
        0 as ring_s,
        parts.talk_s,
        parts.hold_s,
        parts.wrapup_s,
        null::integer as member_s
    from parts
    inner join days using (customer_id, call_date)
    union all
    select
        customer_id,
        call_date,
        days.time_zone,
        rings.agent_key,
        rings.queue,
        {{ quarter_hour('rings.started_at') }} as interval_start,
        0 as contacts,
        1 as rings,
        rings.is_unanswered::integer as rings_unanswered,
        rings.ring_s,
        0 as talk_s,
        case when rings.shows_holds then 0 end as hold_s,
        case when rings.shows_wrapups then 0 end as wrapup_s,
        null::integer as member_s
    from rings
    inner join days using (customer_id, call_date)
    union all
    select
        customer_id,
        call_date,
        days.time_zone,
        members.agent_key,
        members.queue,
        members.interval_start,
        0 as contacts,
        0 as rings,
        0 as rings_unanswered,
        0 as ring_s,
        0 as talk_s,
        null as hold_s,
        null as wrapup_s,
        members.member_s
    from members
    inner join days using (customer_id, call_date)
),

-- Before they are summed: of sums PostgreSQL would expect too few rows for this.
known as (
    select
        facts.*,
        membership_days.queue is not null as shows_members
    from facts
    left join membership_days using (customer_id, call_date, queue)
),

-- A log can connect a call to nobody: that is no agent's contact. Nor is that of an agent who is left out.
summed as (
    select
        customer_id,
        call_date,
        agent_key,
        queue,
        interval_start,
        interval_start at time zone min(time_zone) as interval_local,
        sum(contacts)::integer as contacts,
        sum(rings)::integer as rings,
        sum(rings_unanswered)::integer as rings_unanswered,
        {{ whole_sum('coalesce(sum(ring_s), 0)') }} as ring_s,
        {{ whole_sum('coalesce(sum(talk_s), 0)') }} as talk_s,
        {{ whole_sum('sum(hold_s)') }} as hold_s,
        {{ whole_sum('sum(wrapup_s)') }} as wrapup_s,
        sum(member_s)::integer as member_s,
        bool_or(shows_members) as shows_members
    from known
    where queue is not null and agent_key is not null and not {{ is_left_out('agent_key') }}
    group by customer_id, call_date, agent_key, queue, interval_start
)

select
    summed.customer_id,
    summed.call_date,
    summed.agent_key,
    {{ name_shown('summed.queue', 'summed.customer_id') }} as queue,
    summed.interval_start,
    summed.interval_local,
    coalesce(of_queue.is_open, of_all.is_open) as open,
    summed.contacts,
    summed.rings,
    summed.rings_unanswered,
    summed.ring_s,
    summed.talk_s,
    summed.hold_s,
    summed.wrapup_s,
    case when summed.shows_members then coalesce(summed.member_s, 0) end as member_s
from summed
{{ opening('summed', of_queues=true) }}
