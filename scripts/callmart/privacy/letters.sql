-- name: customer
select
    name,
    locale
from registry.customer
where customer_id = %(customer)s;
