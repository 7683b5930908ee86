-- A row is a queue's day whose handling would be one agent's profile: under standard, and fewer than two agents
-- answered.

with visits as (
    select * from {{ ref('int_visit') }}
),

days as (
    select * from {{ ref('stg_day') }}
    where option = 'standard'
)

select
    visits.customer_id,
    visits.call_date,
    visits.queue
from visits
inner join days
    on visits.customer_id = days.customer_id
    and visits.call_date = days.call_date
group by visits.customer_id, visits.call_date, visits.queue
having min(visits.first_agent_key) is not distinct from max(visits.last_agent_key)
