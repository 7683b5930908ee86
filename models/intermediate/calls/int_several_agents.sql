-- A row is a queue and a day on which at least two agents answered. All who are left out count as one.

with visits as (
    select
        customer_id,
        call_date,
        queue,
        case when {{ is_left_out('first_agent_key') }} then '~' else first_agent_key end as first_agent_key,
        case when {{ is_left_out('last_agent_key') }} then '~' else last_agent_key end as last_agent_key
    from {{ ref('int_visit') }}
),

members as (
    select
        customer_id,
        call_date,
        queue,
        case when {{ is_left_out('agent_key') }} then '~' else agent_key end as agent_key
    from {{ ref('int_member') }}
),

answered as (
    select
        customer_id,
        call_date,
        queue
    from visits
    group by customer_id, call_date, queue
    having min(first_agent_key) < max(last_agent_key)
),

staffed as (
    select
        customer_id,
        call_date,
        queue
    from members
    group by customer_id, call_date, queue
    having min(agent_key) < max(agent_key)
)

select
    answered.customer_id,
    answered.call_date,
    answered.queue,
    staffed.queue is not null as have_staffed
from answered
left join staffed using (customer_id, call_date, queue)
