-- name: of_customers
select
    customer_id,
    key_fingerprint
from registry.customer
where key_fingerprint is not null
order by 1;
