-- name: opened_rows
-- How many rows of each mart were opened for a customer, of days that are not too old.
select
    mart,
    sum(row_count)::bigint
from ops.opened_day
where customer_id = %(customer)s and (call_date >= (select access.retention_floor()) or not isfinite(call_date))
group by mart;

-- name: through
-- The last open day of a customer, null if there is none, and through when its data goes while it is not over.
select
    o.call_date,
    date_trunc('minute', max(o.so_far at time zone c.time_zone))
from ops.opened_day as o
inner join registry.customer as c using (customer_id)
where o.customer_id = %(customer)s and isfinite(o.call_date)
group by o.call_date
order by o.call_date desc
limit 1;
