-- A row is an agent of a customer, with what reports call it: the one place where a key has a name. All agents of the
-- customers in the window who have a day under a detailed contract, in the window or before.

with computed_days as (
    select * from {{ source('build', 'window') }}
    where not reached
),

days as (
    select * from {{ ref('stg_day') }}
    where option = 'detailed'
),

agent_days as (
    select * from {{ computed('agent_day') }}
),

statuses as (
    select * from {{ computed('agent_status_interval') }}
),

sessions as (
    select * from {{ computed('agent_session') }}
),

history as (
    select
        customer_id,
        call_date,
        agent_key
    from {{ ref('agent_day') }}
    union all
    select
        customer_id,
        call_date,
        agent_key
    from {{ ref('agent_status_interval') }}
    union all
    select
        customer_id,
        call_date,
        agent_key
    from {{ ref('agent_session') }}
),

known as (
    select
        customer_id,
        agent_key
    from {{ this }}
    where customer_id in (select computed_days.customer_id from computed_days)
),

-- Only a day that detailed covers no longer can take an agent away: then the customer's history tells who is left.
shrunk as (
    select distinct known.customer_id
    from known
    inner join computed_days on known.customer_id = computed_days.customer_id
    left join days
        on computed_days.customer_id = days.customer_id
        and computed_days.call_date = days.call_date
    where days.call_date is null
),

agents as (
    select
        customer_id,
        agent_key
    from agent_days
    union
    select
        customer_id,
        agent_key
    from statuses
    union
    select
        customer_id,
        agent_key
    from sessions
    union
    select
        known.customer_id,
        known.agent_key
    from known
    where known.customer_id not in (select shrunk.customer_id from shrunk)
    union
    select
        history.customer_id,
        history.agent_key
    from shrunk
    inner join history on shrunk.customer_id = history.customer_id
    left join computed_days
        on history.customer_id = computed_days.customer_id
        and history.call_date = computed_days.call_date
    where computed_days.call_date is null
)

select
    customer_id,
    agent_key,
    registry.agent_label(customer_id, agent_key) as agent
from agents
