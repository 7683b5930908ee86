-- The statements of an expiry. `t` is the table; {table}, {condition} etc. are filled in per table.

-- name: clocks
-- The time zone per customer, and when the oldest kept day begins. For a removed customer with rows left, it is the
-- provider's.
select
    customer_id,
    coalesce(r.time_zone, %(zone)s) as time_zone,
    access.begin_of_day(%(floor)s::date, coalesce(r.time_zone, %(zone)s)) as floor_begins_at
from (
    select customer_id from registry.customer
    union
    select customer_id from raw.file_customer
) as known
left join registry.customer as r using (customer_id);

-- name: delete_rows
-- Delete rows; return their number per table or month: {deleted_from} is that of a row, by its {month_of_row}.
with taken as (
    delete from {table} as t using {clocks} as c
    where {condition}
    returning {month_of_row} as of_month
)

select
    {deleted_from} as relation,
    count(*)
from taken
group by relation;

-- name: forget
-- Keep the rows, but replace what is too old in them.
with taken as (
    update {table} as t
    set ({columns}) = (select {kept})
    from {clocks} as c
    where {condition}
    returning {month_of_row} as of_month
)

select
    {deleted_from} as relation,
    count(*)
from taken
group by relation;

-- name: delete_counted
-- Delete rows of a mart, correct the counts of opened rows, and make the extract out of date. {day} is a row's day.
with

taken as (
    delete from {table} as t
    where {condition}
    returning {month_of_row} as of_month, t.customer_id, {day} as call_date
),

fewer as (
    select
        customer_id,
        call_date,
        count(*) as row_count
    from taken
    group by customer_id, call_date
),

counted as (
    update ops.opened_day as o
    set row_count = o.row_count - fewer.row_count
    from fewer
    where o.customer_id = fewer.customer_id and o.mart = {mart} and o.call_date = fewer.call_date
),

stale as (
    update ops.extract as e
    set basis = e.basis - 'opened'
    from fewer
    where e.customer_id = fewer.customer_id and e.mart_group = {mart_group}
)

select
    {deleted_from} as relation,
    count(*)
from taken
group by relation;
