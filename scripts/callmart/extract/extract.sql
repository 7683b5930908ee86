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

-- name: oldest
select min(call_date)::text from ops.opened_day
where customer_id = %(customer)s and call_date >= access.retention_floor();

-- name: changed_months
-- The months in which days of a customer were opened by later builds.
select distinct date_trunc('month', call_date)::date as month
from ops.opened_day
where
    customer_id = %(customer)s
    and build_id > %(build)s
    and call_date >= access.retention_floor()
order by month;

-- name: read_again
update ops.extract
set basis = basis - 'opened'
where customer_id = %(customer)s and (mart_group = %(mart_group)s or %(mart_group)s::text is null);

-- name: note_file
-- A file was written again with the same rows.
update ops.extract
set file_hash = %(file_hash)s
where customer_id = %(customer)s and mart_group = %(mart_group)s;

-- name: note
-- `written_at` stays if the rows are the same: then nothing has to be published.
insert into ops.extract as known (
    customer_id, mart_group, content_hash, row_count, basis, part_hashes, file_hash
)
values (%(customer)s, %(mart_group)s, %(content_hash)s, %(rows)s, %(basis)s, %(part_hashes)s, %(file_hash)s)
on conflict (customer_id, mart_group) do update
    set
        content_hash = excluded.content_hash,
        row_count = excluded.row_count,
        basis = excluded.basis,
        part_hashes = excluded.part_hashes,
        file_hash = excluded.file_hash,
        written_at = case
            when known.content_hash = excluded.content_hash then known.written_at
            else excluded.written_at
        end;
