-- A row is a call on a line (SIP trunk, ISDN2, ISDN30), from start to end.

with events as (
    select * from {{ ref('stg_call_event') }}
    where platform in {{ line_platforms() }}
),

calls as (
    select
        customer_id,
        platform,
        call_key,
        coalesce(min(line), '') as line, -- noqa: RF04
        min(direction) as direction,
        min(occurred_at) as first_at,
        max(occurred_at) as last_at,
        min(occurred_at) filter (where event = 'call_started') as shown_start,
        min(occurred_at) filter (where event = 'call_answered') as answered_at,
        min(occurred_at) filter (where event = 'call_ended') as ended_at,
        -- The first answer and the first end count, with their own measures.
        {{ first_measure("event = 'call_answered'", 'occurred_at') }} as given_ring_s,
        {{ first_measure("event = 'call_ended'", 'occurred_at') }} as given_call_s,
        (array_agg(reason order by occurred_at, reason) filter (where event = 'call_ended'))[1] as end_reason
    from events
    group by customer_id, platform, call_key
),

timed as (
    select
        *,
        coalesce(
            shown_start,
            ended_at - {{ seconds_interval('given_call_s') }},
            answered_at - {{ seconds_interval('given_ring_s') }},
            first_at
        ) as started_at
    from calls
),

measured as (
    select
        *,
        coalesce(
            given_ring_s,
            greatest({{ seconds_between('started_at', 'answered_at') }}, 0)
        ) as answered_ring_s,
        coalesce(
            given_call_s,
            greatest({{ seconds_between('started_at', 'ended_at') }}, 0)
        ) as call_s
    from timed
)

select
    customer_id,
    platform,
    line,
    call_key,
    coalesce(direction, 'unknown') as direction,
    started_at,
    -- A call without a known end occupies its line until its last event.
    greatest(coalesce(ended_at, last_at), started_at) as occupied_until,
    case
        when answered_at is not null then 'answered'
        when ended_at is null then 'still_open'
        when end_reason = 'system' then 'busy'
        else 'unanswered'
    end as outcome,
    case
        when answered_at is not null then answered_ring_s
        when ended_at is not null then call_s
    end as ring_s,
    case
        when answered_at is not null and ended_at is not null
            then greatest(
                coalesce(given_call_s - answered_ring_s, {{ seconds_between('answered_at', 'ended_at') }}),
                0
            )
    end as talk_s
from measured
