-- A row is a finished wrap-up that the source reports for an agent without naming a call.

with events as (
    select * from {{ ref('stg_agent_event') }}
    where kind = 'wrapup'
),

chained as (
    {{ number_chains('events', partition='customer_id, agent_key', longest=longest_wrapup()) }}
),

numbered as (
    {{ number_phases(
        'chained',
        name='wrapup_no',
        starts="event = 'wrapup_started'",
        ends="event = 'wrapup_ended'",
        partition='customer_id, agent_key, chain_no',
    ) }}
),

-- A wrap-up that the source measures needs no beginning, and several can overlap.
wrapups as (
    select
        customer_id,
        agent_key,
        occurred_at - {{ seconds_interval('duration_s') }} as began_at,
        occurred_at as ended_at
    from events
    where event = 'wrapup_ended' and duration_s is not null
    union all
    select
        customer_id,
        agent_key,
        min(occurred_at) filter (where event = 'wrapup_started') as began_at,
        min(occurred_at) filter (where event = 'wrapup_ended') as ended_at
    from numbered
    group by customer_id, agent_key, chain_no, wrapup_no
    -- Of several ends the first one counts. If that one is measured, it is a wrap-up above.
    having {{ first_measure("event = 'wrapup_ended'") }} is null
)

select * from wrapups
where ended_at - began_at <= {{ longest_wrapup() }}
