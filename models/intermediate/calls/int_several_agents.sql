-- A row is a queue and a day on which at least two agents answered. All who are left out count as one.

with visits as (
    select
        customer_id,
        call_date,
        queue,
        case when {{ is_left_out('first_agent_key') }} then '~' else first_agent_key end as first_agent_key,
        case when {{ is_left_out('last_agent_key') }} then '~' else last_agent_key end as last_agent_key
    from {{ ref('int_visit') }}
)

select
    customer_id,
    call_date,
    queue
from visits
group by customer_id, call_date, queue
having min(first_agent_key) < max(last_agent_key)
