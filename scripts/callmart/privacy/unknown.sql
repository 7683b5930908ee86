-- name: customers
-- An objection is of one agent, who can have several ids.
select
    customer_id,
    count(distinct entry)
from privacy.unknown_objector
group by customer_id
order by customer_id;

-- name: tombstones
select tombstone
from privacy.unknown_objector
where customer_id = %(customer)s;
