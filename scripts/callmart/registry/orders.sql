-- name: noted
-- The details of the last entry of each customer.
select distinct on (customer_id)
    customer_id,
    details
from ops.audit_log
where action = 'registry applied'
order by customer_id asc, entry desc;
