-- name: orders
-- The customers with extracts: their option and orders today, the build that last opened days of theirs, and their
-- oldest open day that is not too old.
with

floor as materialized (select access.retention_floor() as day),

opened as (
    select
        customer_id,
        max(build_id) as build_id,
        min(call_date) filter (where call_date >= floor.day) as oldest
    from ops.opened_day
    cross join floor
    group by customer_id
)

select
    o.customer_id,
    o.option,
    o.orders,
    opened.build_id,
    opened.oldest::text
from registry.current_option as o
inner join registry.customer as c using (customer_id)
left join opened using (customer_id)
where c.connection = 'extract'
order by o.customer_id;

-- name: changed_months
-- The months in which days of a customer were opened by later builds.
select distinct date_trunc('month', call_date)::date as month
from ops.opened_day
where
    customer_id = %(customer)s
    and build_id > %(build)s
    and call_date >= access.retention_floor()
order by month;

-- name: begin
-- Until the file is noted, nobody knows which rows it has.
update ops.extract
set basis = basis - 'opened'
where customer_id = %(customer)s and mart_group = %(mart_group)s;

-- name: note
insert into ops.extract (customer_id, mart_group, content_hash, row_count, basis, hashes)
values (%(customer)s, %(mart_group)s, %(content_hash)s, %(rows)s, %(basis)s, %(hashes)s)
on conflict (customer_id, mart_group) do update
    set
        content_hash = excluded.content_hash,
        row_count = excluded.row_count,
        basis = excluded.basis,
        hashes = excluded.hashes,
        written_at = excluded.written_at;
