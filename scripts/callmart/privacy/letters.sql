-- name: customer
select
    name,
    locale,
    time_zone
from registry.customer
where customer_id = %(customer)s;
