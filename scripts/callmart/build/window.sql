-- name: forget_days
-- Dirty days that are too old, or that no contract keeps, are not built.
delete from ops.dirty_day as d
where
    call_date < access.retention_floor()
    or not exists (
        select from registry.kept_contract as k
        where
            k.customer_id = d.customer_id
            and d.call_date >= k.valid_from
            and (d.call_date < k.valid_until or k.valid_until is null)
    );

-- name: reach
-- The open days of a mart that look back at a dirty day.
insert into build."window" (customer_id, call_date, mark, reached)
select distinct
    o.customer_id,
    o.call_date,
    0,
    true
from ops.dirty_day as d
inner join ops.opened_day as o
    on d.customer_id = o.customer_id
    and d.call_date < o.call_date
    and o.call_date <= d.call_date + %(days)s
    and o.mart = %(mart)s
on conflict do nothing;
