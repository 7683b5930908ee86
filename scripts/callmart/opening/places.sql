-- How a person leaves the marts. {mart} is the table of one, {day} its day, {bound} the first day that stays.

-- name: bound
-- The first day that is not concerned, on the customer's clock.
select (%(until)s at time zone time_zone)::date
from registry.customer
where customer_id = %(customer)s;

-- name: rows_of_agent
select count(*) from {mart} as t
where t.customer_id = %(customer)s and t.agent_key = any(%(keys)s) and {condition};

-- name: mark_days
insert into ops.dirty_day (customer_id, call_date, cause)
select distinct
    t.customer_id,
    {day},
    'person'
from {mart} as t
where t.customer_id = %(customer)s and t.agent_key = any(%(keys)s) and {day} < %(bound)s
on conflict (customer_id, call_date) do update set mark = excluded.mark, cause = excluded.cause;

-- name: delete_named
with gone as (
    delete from {mart} as t
    where t.customer_id = %(customer)s and t.agent_key = any(%(keys)s) and {condition}
    returning t.customer_id
)

update ops.opened_day
set row_count = row_count - (select count(*) from gone)
where customer_id = %(customer)s and mart = {mart_name};

-- name: months_with
select distinct t.tableoid::regclass::text from {mart} as t
where t.customer_id = %(customer)s and {condition};

-- name: delete_days
delete from {mart} as t
where t.customer_id = %(customer)s and {condition};

-- name: close_days_too_old
delete from ops.opened_day
where customer_id = %(customer)s and call_date < access.retention_floor() and isfinite(call_date);

-- name: waiting
-- The days of the customer that change because of a person and were not opened since.
select count(*) from ops.dirty_day
where customer_id = %(customer)s and cause = 'person';

-- name: months
-- The months of a mart that have days which change because of a person, or look back at one.
select distinct part.relid::regclass::text
from ops.dirty_day as d
inner join pg_partition_tree(to_regclass({mart_name})) as part
    on part.isleaf
    and right(part.relid::regclass::text, 6) between to_char(d.call_date, 'YYYYMM')
    and to_char(d.call_date + {reach}, 'YYYYMM')
where d.customer_id = %(customer)s and d.cause = 'person';
