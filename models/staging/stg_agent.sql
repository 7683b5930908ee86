-- A row is an agent who did something around a stretch of days to compute, by that stretch. Each is found from the
-- one before by the index event_by_agent, instead of reading all that they did.

with recursive spans as (
    select * from {{ ref('stg_agent_span') }}
),

agents as (
    select
        spans.*,
        '' as agent_key
    from spans
    union all
    select
        agents.customer_id,
        agents.time_zone,
        agents.begins_at,
        agents.ends_at,
        agents.known_until,
        agents.looks_back_to,
        agents.looks_ahead_to,
        neighbour.agent_key
    from agents
    cross join lateral (
        select events.agent_key
        from {{ source('raw', 'event') }} as events
        where
            events.customer_id = agents.customer_id
            and events.call_key is null
            and events.agent_key > agents.agent_key
            and events.occurred_at >= agents.looks_back_to
            and events.occurred_at < agents.looks_ahead_to
        order by events.agent_key
        limit 1
    ) as neighbour
)

select * from agents
where agent_key <> ''
