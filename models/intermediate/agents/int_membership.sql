-- A row is a time in which an agent was a member of a queue.

with presence as (
    select * from {{ ref('int_presence') }}
    where kind = 'membership'
)

select
    customer_id,
    agent_key,
    place as queue,
    began_at,
    ended_at
from presence
where began_at < ended_at
