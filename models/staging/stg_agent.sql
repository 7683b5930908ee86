-- A row is a stretch of days to compute and an agent who has an event in or around it, or later. The recursion steps
-- from one agent to the next in the index event_by_agent, instead of reading all their events. With an end of the times
-- the planner would expect so few events that it reads and sorts them at each step.

with recursive spans as (
    select * from {{ ref('stg_agent_span') }}
),

events as not materialized (
    select * from {{ ref('stg_event') }}
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
        next_agent.agent_key
    from agents
    cross join lateral (
        select events.agent_key
        from events
        where
            events.customer_id = agents.customer_id
            and events.call_key is null
            and events.agent_key > agents.agent_key
            and events.occurred_at >= agents.looks_back_to
        order by events.agent_key
        limit 1
    ) as next_agent
)

select * from agents
where agent_key <> ''
