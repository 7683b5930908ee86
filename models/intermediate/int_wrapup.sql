-- A row is a wrap-up of a call, by the agent whose part of the call it follows; one that still goes on has no seconds.

with calls as (
    select * from {{ ref('int_call') }}
),

talks as (
    select * from {{ ref('int_talk') }}
),

events as (
    select *
    from {{ ref('int_call_event') }}
    where event in ('wrapup_started', 'wrapup_ended')
),

numbered as (
    {{ number_phases(
        'events',
        name='wrapup_no',
        starts="event = 'wrapup_started'",
        ends="event = 'wrapup_ended'",
        partition='customer_id, call_key, queue, agent_key',
    ) }}
),

paired as (
    select
        customer_id,
        call_key,
        queue,
        agent_key,
        wrapup_no,
        min(moment) as moment,
        min(occurred_at) filter (where event = 'wrapup_started') as started_at,
        min(occurred_at) filter (where event = 'wrapup_ended') as ended_at,
        min(duration_s) filter (where event = 'wrapup_ended') as duration_s
    from numbered
    group by customer_id, call_key, queue, agent_key, wrapup_no
),

placed as (
    {{ place_in_talk('paired', 'talks', 'wrapup_no') }}
),

wrapups as (
    select
        customer_id,
        call_key,
        part,
        started_at,
        ended_at,
        duration_s
    from placed
    union all
    select
        customer_id,
        call_key,
        (connected_at is not null or released_at is not null)::integer as part,
        wrapup_started_at as started_at,
        wrapup_ended_at as ended_at,
        wrapup_duration_s as duration_s
    from calls
    where is_straight and (wrapup_started_at is not null or wrapup_ended_at is not null)
)

select
    customer_id,
    call_key,
    part,
    {{ whole_seconds('coalesce(duration_s, ' ~ seconds_between('started_at', 'ended_at') ~ ')') }} as wrapup_s
from wrapups
