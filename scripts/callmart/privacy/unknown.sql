-- name: customers
select
    customer_id,
    count(*)
from privacy.unknown_objector
group by customer_id
order by customer_id;

-- name: tombstones
select tombstone
from privacy.unknown_objector
where customer_id = %(customer)s;
