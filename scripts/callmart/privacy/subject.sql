-- name: agents
select
    agent,
    name
from registry.agent
where customer_id = %(customer)s;
