-- name: fingerprint
select key_fingerprint
from registry.customer
where customer_id = %(customer)s and key_fingerprint is not null;

-- name: agents
select
    agent,
    name
from registry.agent
where customer_id = %(customer)s;
