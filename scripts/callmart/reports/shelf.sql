-- name: with_contract
-- The customers that may have pages: what they are called, their language, and what they have ordered
-- today, and from which day on their list of contacts is kept.
select
    c.customer_id,
    c.name,
    c.locale,
    o.option,
    o.orders,
    l.first_day
from registry.current_option as o
inner join registry.customer as c using (customer_id)
left join registry.contact_list as l using (customer_id)
order by c.customer_id;
