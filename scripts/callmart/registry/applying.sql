-- name: mark_days
-- Mark all open days of the customer dirty.
insert into ops.dirty_day (customer_id, call_date, cause)
select distinct
    customer_id,
    call_date,
    'registry'
from ops.opened_day
where customer_id = %(customer)s and isfinite(call_date)
on conflict (customer_id, call_date) do update set mark = nextval('ops.mark'), cause = excluded.cause;
