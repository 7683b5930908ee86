-- Gives events the agent whose they are. `judged_events` is the batch, `found_mistakes` says which of its keys are
-- replaced, and within which time.

-- name: found
-- The id of the mistaken agent does not go with the other's key.
with mistakes as (
    select distinct * from found_mistakes
)

select
    e.* replace (
        case when agents.agent_key is null then e.agent end as agent,
        case when agents.agent_key is null then e.agent_key end as agent_key,
        case when targets.agent_key is null then e.target_key end as target_key,
        coalesce(agents.agent_key, e.given_agent) as given_agent,
        coalesce(targets.agent_key, e.given_target) as given_target
    )
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

-- name: given
select
    * replace (
        coalesce(given_agent, agent_key) as agent_key,
        coalesce(given_target, target_key) as target_key
    )
from judged_events;
