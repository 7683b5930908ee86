-- A row is a wrap-up in a tangled call, with the talk that it follows. One that goes on has no seconds yet.

with talks as (
    select * from {{ ref('int_tangled_talk') }}
),

events as (
    select *
    from {{ ref('int_tangled_event') }}
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
)

select
    customer_id,
    call_key,
    part,
    {{ measured_seconds('duration_s', 'started_at', 'ended_at') }} as wrapup_s
from placed
