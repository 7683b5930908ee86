-- name: agents
select
    agent_key,
    name
from registry.agent
where customer_id = %(customer)s;
