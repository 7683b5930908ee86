-- How an environment is compared with what stands. The rows that stand come into the environment's session, so that one
-- query joins both. Names of tables and columns are filled in.

-- name: make_chosen
create temporary table chosen (customer_id integer, call_date date) on commit drop;

-- name: opened
-- The days that are open in the environment.
select distinct
    customer_id,
    call_date
from ops.opened_day
where isfinite(call_date);

-- name: choose
insert into pg_temp.chosen
select * from unnest(%(customers)s::integer[], %(days)s::date[]);

-- name: leave_out
-- Days that no longer stand as they were when the rows were copied: they wait for a build, were opened again, or are
-- gone.
delete from pg_temp.chosen as c
where
    not exists (
        select from ops.opened_day as o
        where o.customer_id = c.customer_id and o.call_date = c.call_date
    )
    or exists (
        select from ops.opened_day as o
        where o.customer_id = c.customer_id and o.call_date = c.call_date and o.build_id > %(standing)s
    )
    or exists (
        select from ops.dirty_day as d
        where d.customer_id = c.customer_id and d.call_date = c.call_date
    );

-- name: rows_of_days
-- The bounds let the planner skip months and other customers.
select {columns} from {mart} as m
where
    m.customer_id = any({customers})
    and {day} between {first_day} and {last_day}
    and exists (
        select from pg_temp.chosen as c
        where c.customer_id = m.customer_id and c.call_date = {day}
    );

-- name: rows_of_customers
select {columns} from {mart} as m
where m.customer_id = any({customers}) and m.customer_id in (select c.customer_id from pg_temp.chosen as c);

-- name: join_sides
-- A row per row that is on either side, with the values of both.
create temporary table joined on commit drop as
select
    customer_id,
    here.customer_id is not null as is_here,
    there.customer_id is not null as is_there,
    {columns}
from {here} as here
full join {there} as there using ({key})
where {wanted};

-- name: compared
-- How many days of customers there are to compare in the mart.
select count(*)
from (
    select distinct
        customer_id,
        call_date
    from pg_temp.joined
) as cells;

-- name: cells
-- The days of customers on which a column differs: the rows of each side, how many differ, how many persons those are
-- of, and of a number the sums and how far the rows are apart. A value that only one side of a row knows is in neither
-- sum: it may have been suppressed.
with sides as (
    select
        *,
        {here_value} as value_here,
        {there_value} as value_there,
        {here_number} as number_here,
        {there_number} as number_there
    from pg_temp.joined
),

compared as (
    select
        *,
        (is_here <> is_there) or (value_here is distinct from value_there) as differs,
        is_here <> is_there or (value_here is null) = (value_there is null) as is_known
    from sides
)

select
    customer_id,
    call_date,
    count(*) filter (where is_here) as rows_here,
    count(*) filter (where is_there) as rows_there,
    count(*) filter (where differs) as differing,
    {counted} as persons,
    sum(number_here) filter (where is_known) as sum_here,
    sum(number_there) filter (where is_known) as sum_there,
    sum(abs(coalesce(number_there, 0) - coalesce(number_here, 0))) filter (where is_known) as apart
from compared
group by customer_id, call_date
having bool_or(differs);
