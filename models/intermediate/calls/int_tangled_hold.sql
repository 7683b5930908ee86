-- A row is a time on hold in a tangled call.

with talks as (
    select * from {{ ref('int_tangled_talk') }}
),

events as (
    select *
    from {{ ref('int_tangled_event') }}
    where event in ('hold_started', 'hold_ended')
),

named as (
    {{ name_phases('events', starts='hold_started') }}
),

phases as (
    {{ pair_phases('named', starts='hold_started', ends='hold_ended') }}
),

of_parts as (
    {{ place_in_talk('phases', 'talks', 'phase_no') }}
),

holds as (
    select
        customer_id,
        call_key,
        part,
        started_at,
        coalesce(
            ended_at,
            -- Of those that begin in one moment, one without an end is the last.
            lead(started_at) over (partition by customer_id, call_key, part order by moment, ended_at, phase_no)
        ) as ended_at,
        duration_s
    from of_parts
)

select
    holds.customer_id,
    holds.call_key,
    holds.part,
    {{ measured_seconds(
        'holds.duration_s',
        'holds.started_at',
        'coalesce(holds.ended_at, case when talks.released_at > holds.started_at then talks.released_at end)'
    ) }} as hold_s
from holds
inner join talks
    on holds.customer_id = talks.customer_id
    and holds.call_key = talks.call_key
    and holds.part = talks.part
