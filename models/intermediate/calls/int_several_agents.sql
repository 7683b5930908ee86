-- A row is a queue and a day on which at least two agents answered.

with visits as (
    select * from {{ ref('int_visit') }}
)

select
    customer_id,
    call_date,
    queue
from visits
group by customer_id, call_date, queue
having min(first_agent_key) < max(last_agent_key)
