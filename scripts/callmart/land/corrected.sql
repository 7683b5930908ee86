-- Gives events the agent whose they are. `found_mistakes` says which keys are replaced, and within which time.

-- name: corrected
-- The id of the mistaken agent does not go with the other's key.
with mistakes as (
    select distinct * from found_mistakes
)

select
    e.* exclude (agent, agent_key, target_key),
    case when agents.agent_key is null then e.agent end as agent,
    coalesce(agents.agent_key, e.agent_key) as agent_key,
    coalesce(targets.agent_key, e.target_key) as target_key
from judged_events as e
left join mistakes as agents
    on e.customer_id = agents.customer_id
    and e.agent_key = agents.mistaken_key
    and e.occurred_at >= agents.since
    and e.occurred_at < agents.until
left join mistakes as targets
    on e.customer_id = targets.customer_id
    and e.target_kind = 'agent'
    and e.target_key = targets.mistaken_key
    and e.occurred_at >= targets.since
    and e.occurred_at < targets.until;
