-- A row is an agent of a customer, with what reports call it: the one place where a key has a name. All agents of the
-- customers in the window: those that are known already and those that the window brings.

with days as (
    select * from {{ ref('stg_day') }}
),

agent_days as (
    select * from {{ computed('agent_day') }}
),

known as (
    select * from {{ this }}
),

agents as (
    select
        customer_id,
        agent_key
    from agent_days
    union
    select
        known.customer_id,
        known.agent_key
    from known
    where known.customer_id in (select days.customer_id from days)
)

select
    customer_id,
    agent_key,
    registry.agent_label(customer_id, agent_key) as agent
from agents
