-- name: customer
select
    name,
    locale,
    time_zone
from registry.customer
where customer_id = %(customer)s;

-- name: treated
-- When the last place was treated.
select max(at) from privacy.step
where request = %(number)s and step = 'treat';

-- name: since
-- From when on events were another agent's, if the request corrected that.
select min(since) from privacy.ledger_entry
where request = %(number)s;
