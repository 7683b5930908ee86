-- A row is a wrap-up in a tangled call, with the part that it follows.

with talks as (
    select * from {{ ref('int_tangled_talk') }}
),

events as (
    select *
    from {{ ref('int_tangled_event') }}
    where event in ('wrapup_started', 'wrapup_ended')
),

phases as (
    {{ pair_phases('events', starts='wrapup_started', ends='wrapup_ended') }}
),

of_parts as (
    {{ place_in_talk('phases', 'talks') }}
)

select
    customer_id,
    call_key,
    part,
    {{ measured_seconds('duration_s', 'started_at', 'ended_at') }} as wrapup_s
from of_parts
