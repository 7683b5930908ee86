-- name: of_customers
-- Those of these customers, or of all.
select
    customer_id,
    key_fingerprint
from registry.customer
where
    key_fingerprint is not null
    and (%(customers)s::int[] is null or customer_id = any(%(customers)s))
order by customer_id;
