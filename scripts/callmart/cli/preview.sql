-- name: with_data
-- The customers that have rows in marts, and what they have ordered today.
select
    o.customer_id,
    o.option,
    o.orders
from registry.current_option as o
where
    exists (
        select 1 from ops.opened_day as d
        where d.customer_id = o.customer_id and d.mart = any(%(marts)s) and d.row_count > 0
    )
order by o.customer_id;
