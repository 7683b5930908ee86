-- name: mark_days
-- Mark the open days of the customer dirty, from one on.
insert into ops.dirty_day (customer_id, call_date, cause)
select distinct
    customer_id,
    call_date,
    'registry'
from ops.opened_day
where customer_id = %(customer)s and isfinite(call_date) and call_date >= %(since)s
on conflict (customer_id, call_date) do update set mark = excluded.mark, cause = excluded.cause;
