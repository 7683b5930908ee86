-- A row is a wrap-up that an agent told of, and not after which call; one that still goes on is none yet.

with events as (
    select
        *,
        dense_rank() over (
            partition by customer_id, agent_key
            order by occurred_at, case when line_number is not null then file_id end, line_number
        ) as moment
    from {{ ref('stg_agent_event') }}
    where kind = 'wrapup'
),

numbered as (
    {{ number_phases(
        'events',
        name='wrapup_no',
        starts="event = 'wrapup_started'",
        ends="event = 'wrapup_ended'",
        partition='customer_id, agent_key',
    ) }}
),

-- What the source measures needs no beginning, and many can go on at once.
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
    group by customer_id, agent_key, wrapup_no
    having bool_and(duration_s is null)
)

select * from wrapups
where ended_at - began_at <= {{ longest_wrapup() }}
