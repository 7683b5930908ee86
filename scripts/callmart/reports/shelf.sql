-- name: with_contract
-- The customers that may have pages: what they are called, their language, and what they have ordered today.
select
    c.customer_id,
    c.name,
    c.locale,
    o.option,
    o.orders
from registry.current_option as o
inner join registry.customer as c using (customer_id)
order by c.customer_id;
