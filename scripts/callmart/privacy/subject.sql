-- name: fingerprint
select key_fingerprint
from registry.customer
where customer_id = %(customer)s and key_fingerprint is not null;

-- name: agents
-- How many agents have this id, and how many this name.
select
    count(*) filter (where agent = %(word)s),
    count(*) filter (where lower(name) = lower(%(word)s))
from registry.agent
where customer_id = %(customer)s;
