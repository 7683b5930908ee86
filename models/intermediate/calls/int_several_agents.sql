-- A row is a queue's day on which at least two agents answered: of any other, what was done to answer would be one
-- agent's profile.

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
