-- What is asked before an environment is made, and what it gets of each table. The rows go from one database to the
-- other as a stream, so a statement has the names of their columns filled in.

-- name: not_ordered
-- The customers that have no contract today.
select customer_id from unnest(%(customers)s::integer[]) as customer_id
except
select customer_id from registry.current_option
order by customer_id;

-- name: begun_request
-- A request in which something is erased, or was and is not answered, and the command that goes on.
select
    number,
    customer_id,
    privacy.next_command(request)
from privacy.request
where customer_id = any(%(customers)s) and state in ('executing', 'proving')
order by number
limit 1;

-- name: days
-- The last day that is open of these customers, their last build, and the oldest day that is kept.
select
    max(call_date),
    max(build_id),
    access.retention_floor()
from ops.opened_day
where customer_id = any(%(customers)s) and isfinite(call_date);

-- name: without_days
-- The customers of whom no day is open.
select customer_id from unnest(%(customers)s::integer[]) as customer_id
except
select customer_id from ops.opened_day
where call_date between %(first_day)s and %(last_day)s
order by customer_id;

-- name: since
-- From which moment on events are copied: so long before the first day as models look back, and from the beginning of
-- each call that goes on at that day.
select
    least(
        (%(first_day)s::date - %(looks_back)s::integer)::timestamp at time zone 'UTC',
        (
            select min(first_at)
            from raw.call
            where
                customer_id = any(%(customers)s)
                and spans_days
                and last_at >= (%(first_day)s::date - 1)::timestamp at time zone 'UTC'
        )
    );

-- name: columns
-- The columns of a table, without those that are computed.
select attname
from pg_attribute
where attrelid = %(table)s::regclass and attnum > 0 and not attisdropped and attgenerated = ''
order by attnum;

-- name: is_guarded
select relrowsecurity from pg_class
where oid = %(table)s::regclass;

-- name: make_way_round
create temporary table way_round as
select {columns} from {table}
where false;

-- name: insert_from_way_round
insert into {table} ({columns})
select {columns} from pg_temp.way_round;

-- name: make_months
select access.ensure_month('raw.event', month::date)
from
    generate_series(
        date_trunc('month', %(since)s::timestamptz at time zone 'UTC'),
        now() at time zone 'UTC' + interval '1 month',
        interval '1 month'
    ) as month;

-- name: all_rows
select {columns} from {table};

-- name: of_customers
select {columns} from {table}
where customer_id = any(%(customers)s);

-- name: events
select {columns} from {table}
where customer_id = any(%(customers)s) and occurred_at >= %(since)s;

-- name: calls
select {columns} from {table}
where customer_id = any(%(customers)s) and last_at >= %(since)s;

-- name: agents
-- Only agents of these events have a name there.
with seen as materialized (
    select distinct
        customer_id,
        agent_key
    from raw.event
    where customer_id = any(%(customers)s) and occurred_at >= %(since)s
)

select {columns} from {table} as a
where
    customer_id = any(%(customers)s)
    and exists (
        select 1 from seen
        where seen.customer_id = a.customer_id and seen.agent_key = a.agent_key
    );

-- name: open_days
-- The days to compute: those that stand.
select distinct
    customer_id,
    call_date,
    'try'
from ops.opened_day
where customer_id = any(%(customers)s) and call_date between %(first_day)s and %(last_day)s;

-- name: without_logins
-- Nobody but its own duties gets into an environment.
update registry.customer set sql_login = false, connection = 'extract', export = false;
