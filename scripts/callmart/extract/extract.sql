-- name: orders
-- The customers with extracts: their option and orders today, the build that last opened days of theirs, and their
-- oldest open day that is not too old.
select
    o.customer_id,
    o.option,
    o.orders,
    (
        select max(d.build_id) from ops.opened_day as d
        where d.customer_id = o.customer_id
    ) as build_id,
    (
        select min(d.call_date) from ops.opened_day as d
        where d.customer_id = o.customer_id and d.call_date >= access.retention_floor()
    )::text as oldest
from registry.current_option as o
inner join registry.customer as c using (customer_id)
where c.connection = 'extract'
order by o.customer_id;

-- name: note
insert into ops.extract (customer_id, mart_group, content_hash, row_count, basis)
values (%(customer)s, %(mart_group)s, %(content_hash)s, %(rows)s, %(basis)s)
on conflict (customer_id, mart_group) do update
    set
        content_hash = excluded.content_hash,
        row_count = excluded.row_count,
        basis = excluded.basis,
        written_at = excluded.written_at;

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
