-- What an expiry does to each table, `t`. {table}, {condition} and their like are filled in for each.

-- name: clocks
-- By whose clock the days of a customer go; of a customer that is gone, by the provider's until its rows are removed.
select
    customer_id,
    coalesce(r.time_zone, %(zone)s) as time_zone
from (
    select customer_id from registry.customer
    union
    select customer_id from raw.file_customer
) as known
left join registry.customer as r using (customer_id);

-- name: delete_rows
-- How many rows went, by table or month.
with taken as (
    delete from {table} as t using {clocks} as c
    where {condition}
    returning t.tableoid::regclass as relation
)

select
    relation::text,
    count(*)
from taken
group by relation;

-- name: forget
-- Rows stay; what is too old in them is replaced.
with taken as (
    update {table} as t
    set ({columns}) = (select {kept})
    from {clocks} as c
    where {condition}
    returning t.tableoid::regclass as relation
)

select
    relation::text,
    count(*)
from taken
group by relation;

-- name: delete_unreferred
-- Rows of a mart without days. What was opened of it and extracted are other rows from now on.
with

taken as (
    delete from {table} as t
    where {condition}
    returning t.tableoid::regclass as relation, t.customer_id
),

fewer as (
    select
        customer_id,
        count(*) as row_count
    from taken
    group by customer_id
),

counted as (
    update ops.opened_day as o
    set row_count = o.row_count - fewer.row_count
    from fewer
    where o.customer_id = fewer.customer_id and o.mart = {mart} and not isfinite(o.call_date)
),

stale as (
    update ops.extract as e
    set basis = e.basis - 'opened'
    from fewer
    where e.customer_id = fewer.customer_id and e.mart_group = {mart_group}
)

select
    relation::text,
    count(*)
from taken
group by relation;

-- name: computed_days
-- The columns of `build` that hold a day or a moment of customers, and whether it is a day.
select
    c.relname,
    a.attname,
    a.atttypid = 'date'::regtype
from pg_class as c
inner join pg_attribute as a on c.oid = a.attrelid and attnum > 0 and not attisdropped
where
    c.relnamespace = 'build'::regnamespace
    and c.relkind = 'r'
    and a.atttypid in ('date'::regtype, 'timestamptz'::regtype)
    and exists (
        select from pg_attribute
        where attrelid = c.oid and attname = 'customer_id'
    );
