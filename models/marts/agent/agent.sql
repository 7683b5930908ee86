-- One row per agent of a customer. The agents are all those of the window's customers who have a day under a detailed
-- contract, in the window or before, but for those who object.

{% set marts = ['agent_day', 'agent_status_interval', 'agent_session', 'agent_queue_interval'] %}

with days as (
    select * from {{ ref('stg_day') }}
    where not is_reached
),

objectors as (
    select * from {{ ref('stg_objector') }}
),

seen as (
    {% for mart in marts %}
        select
            customer_id,
            agent_key
        from {{ computed(mart) }}
        {{ 'union' if not loop.last }}
    {% endfor %}
),

history as (
    {% for mart in marts %}
        select
            customer_id,
            call_date,
            agent_key
        from {{ ref(mart) }}
        {{ 'union all' if not loop.last }}
    {% endfor %}
),

listed as (
    select
        customer_id,
        agent_key
    from {{ this }}
    where customer_id in (select days.customer_id from days)
),

-- An agent can disappear only if a day is no longer detailed. Then the customer's history shows who is left.
downgraded as (
    select distinct listed.customer_id
    from listed
    inner join days on listed.customer_id = days.customer_id
    where days.option <> 'detailed'
),

agents as (
    select
        customer_id,
        agent_key
    from seen
    union
    select
        listed.customer_id,
        listed.agent_key
    from listed
    where listed.customer_id not in (select downgraded.customer_id from downgraded)
    union
    select
        history.customer_id,
        history.agent_key
    from downgraded
    inner join history on downgraded.customer_id = history.customer_id
    left join days
        on history.customer_id = days.customer_id
        and history.call_date = days.call_date
    where days.call_date is null
)

select
    agents.customer_id,
    agents.agent_key,
    registry.agent_label(agents.customer_id, agents.agent_key) as agent
from agents
{{ objector_of('agents') }}
where objectors.tombstone is null
