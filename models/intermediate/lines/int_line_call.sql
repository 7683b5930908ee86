-- A row is a call on a line (SIP trunk, ISDN2, ISDN30), from being started to its end. Where the source does not write
-- when it started, that is its end less its duration.

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
        min(occurred_at) filter (where event = 'call_started') as told_start,
        min(occurred_at) filter (where event = 'call_answered') as told_answer,
        min(occurred_at) filter (where event = 'call_ended') as ended_at,
        min(duration_s) filter (where event = 'call_answered') as told_ring_s,
        -- The end that counts is the first one; what a later one measures is not this call.
        (array_agg(duration_s order by occurred_at, duration_s) filter (where event = 'call_ended'))[1] as told_call_s,
        (array_agg(reason order by occurred_at, reason) filter (where event = 'call_ended'))[1] as end_reason
    from events
    group by customer_id, platform, call_key
),

timed as (
    select
        *,
        coalesce(
            told_start,
            ended_at - {{ seconds_interval('told_call_s') }},
            told_answer - {{ seconds_interval('told_ring_s') }},
            first_at
        ) as started_at,
        told_answer as answered_at,
        coalesce(
            told_ring_s,
            greatest({{ seconds_between('told_start', 'told_answer') }}, 0)
        ) as answered_ring_s,
        coalesce(
            told_call_s,
            greatest({{ seconds_between('told_start', 'ended_at') }}, 0)
        ) as call_s
    from calls
)

select
    customer_id,
    platform,
    line,
    call_key,
    coalesce(direction, 'unknown') as direction,
    started_at,
    answered_at,
    ended_at,
    -- A call of which no end is known takes its line as far as it is known.
    greatest(coalesce(ended_at, last_at), started_at) as occupied_until,
    case
        when answered_at is not null then 'answered'
        when ended_at is null then 'still_open'
        when end_reason = 'system' then 'busy'
        else 'unanswered'
    end as outcome,
    case when answered_at is not null then answered_ring_s else call_s end as ring_s,
    case
        when answered_at is not null and ended_at is not null
            then greatest(
                coalesce(
                    told_call_s - coalesce(answered_ring_s, {{ seconds_between('started_at', 'answered_at') }}),
                    {{ seconds_between('answered_at', 'ended_at') }}
                ),
                0
            )
    end as talk_s
from timed
