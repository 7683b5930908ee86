-- {ordered} and {named_unduly} stand for the statements of that name. {without_detailed} means that the statement
-- `detailed` finds no row.

-- name: ordered
-- Customers that have ordered something now or later. For others, the registry keeps only the customer's own row.
select
    k.customer_id,
    k.option
from registry.contract as k
inner join registry.customer as c using (customer_id)
where k.valid_until is null or (now() at time zone c.time_zone)::date < k.valid_until;

-- name: named_unduly
-- Customers with agents' names that no contract allows.
select customer_id
from registry.agent
where
    name is not null
    and customer_id not in (
        select o.customer_id from {ordered} as o
        where o.option = 'detailed'
    );

-- name: detailed
-- Whether the customer's contract keeps agents' data of a day.
select 1 from registry.kept_contract as k
where
    k.customer_id = %(customer)s
    and k.option = 'detailed'
    and {day} >= k.valid_from
    and ({day} < k.valid_until or k.valid_until is null);

-- name: begun_contract
-- Whether a contract has begun since the last version of the registry: files with rows turned away before can land now.
with latest as (
    select max(applied_at) as applied_at from registry.version
),

kept as (
    select
        customer_id,
        min(valid_from) as valid_from
    from registry.kept_contract
    group by customer_id
)

select 1
from latest
cross join kept
-- The planner expects a single contract, and would join each customer with each contract.
where
    kept.valid_from > (
        select (latest.applied_at at time zone c.time_zone)::date from registry.customer as c
        where c.customer_id = kept.customer_id
    )
limit 1;

-- name: gone
-- The customers whose contract keeps nothing today, but of whom something is stored.
with

ordered as (
    select o.customer_id from {ordered} as o
),

stored as (
    select customer_id from raw.file_customer
    union
    select customer_id from ops.opened_day
    union
    select customer_id from ops.dirty_day
    union
    select customer_id from ops.held_back
    union
    select customer_id from ops.quality_failure
    union
    select customer_id from ops.extract
    union
    select customer_id from registry.agent
    where name is null
    union
    select n.customer_id from {named_unduly} as n
),

registered as (
    select customer_id from registry.contract
    union
    select customer_id from registry.queue
    union
    select customer_id from registry.line
    union
    select customer_id from registry.opening_hours
    union
    select customer_id from registry.status_word
    union
    select customer_id from registry.contact
    union
    select customer_id from registry.recipient
    union
    select customer_id from registry.customer
    where key_fingerprint is not null
)

select customer_id from stored
where customer_id not in (select customer_id from registry.kept_contract)
union
select customer_id from registered
where customer_id not in (select customer_id from ordered);

-- name: with_surplus
-- Customers with a contract today, of whom days or agents are stored that it does not keep.
with spans as (
    select
        customer_id,
        min(valid_from) as first_day,
        max(coalesce(valid_until, 'infinity')) as until,
        min(valid_from) filter (where option = 'detailed') as detailed_from
    from registry.kept_contract
    group by customer_id
)

select s.customer_id
from raw.file_customer as f
inner join raw.file using (file_id)
inner join registry.customer as c using (customer_id)
inner join spans as s using (customer_id)
where
    f.first_day < s.first_day
    or f.last_day >= s.until
    or (f.first_day is null and (landed_at at time zone c.time_zone)::date < s.first_day)
union
select s.customer_id
from (
    select
        customer_id,
        call_date
    from ops.opened_day
    where isfinite(call_date)
    union all
    select
        customer_id,
        call_date
    from ops.held_back
    union all
    select
        customer_id,
        call_date
    from ops.quality_failure
    where isfinite(call_date)
) as days
inner join spans as s using (customer_id)
where call_date < s.first_day or call_date >= s.until
union
select o.customer_id
from ops.opened_day as o
inner join spans as s using (customer_id)
left join registry.kept_contract as k
    on o.customer_id = k.customer_id
    and k.option = 'detailed'
    and o.call_date >= k.valid_from
    and (o.call_date < k.valid_until or k.valid_until is null)
where
    o.mart = any(%(of_agents)s)
    and o.row_count > 0
    and case when isfinite(o.call_date) then k.customer_id is null else s.detailed_from is null end
union
select s.customer_id
from registry.agent as a
inner join spans as s using (customer_id)
where a.name is null and (s.detailed_from is null or a.last_day < s.detailed_from)
union
select s.customer_id
from spans as s
inner join {named_unduly} as n on s.customer_id = n.customer_id;

-- name: span
-- The days that the customer's contract keeps today, from `first` to the day before `until`, and when they begin and
-- are over; there is no gap. No agents' data is kept before `detailed_from`. What can be infinite is text for Python.
select
    first,
    until::text,
    time_zone,
    detailed_from,
    access.begin_of_day(first, time_zone) as begins_at,
    access.begin_of_day(until, time_zone)::text as ends_at
from (
    select
        min(valid_from) as first,
        max(coalesce(valid_until, 'infinity')) as until,
        min(c.time_zone) as time_zone,
        min(valid_from) filter (where option = 'detailed') as detailed_from
    from registry.kept_contract
    inner join registry.customer as c using (customer_id)
    where customer_id = %(customer)s
) as span;

-- name: mark_reached
-- Mark days dirty whose marts look back at removed days.
insert into ops.dirty_day (customer_id, call_date, cause)
select distinct
    customer_id,
    call_date,
    'contract'
from ops.opened_day
where
    customer_id = %(customer)s
    and call_date >= %(first)s
    and call_date < %(until)s
    and call_date <= %(first)s + %(reach)s
on conflict (customer_id, call_date) do update set mark = excluded.mark, cause = excluded.cause;

-- name: delete_events
delete from raw.event
where
    customer_id = %(customer)s
    and (
        occurred_at < %(begins_at)s::timestamptz
        or occurred_at >= %(ends_at)s::timestamptz
    );

-- name: delete_calls
delete from raw.call
where
    customer_id = %(customer)s
    and (
        last_at < %(begins_at)s::timestamptz
        or first_at >= %(ends_at)s::timestamptz
    );

-- name: shorten_calls
-- A call that is partly outside the span keeps only the part inside.
with left_over as (
    select
        c.call_key,
        min(e.occurred_at - make_interval(secs => coalesce(e.duration_s, 0) + coalesce(e.wait_s, 0))) as first_at,
        max(e.occurred_at) as last_at
    from raw.call as c
    inner join raw.event as e
        on c.customer_id = e.customer_id
        and c.call_key = e.call_key
        and e.occurred_at between c.first_at and c.last_at
    where
        c.customer_id = %(customer)s
        and (
            c.first_at < %(begins_at)s::timestamptz
            or c.last_at >= %(ends_at)s::timestamptz
        )
    group by c.call_key
)

update raw.call as c
set
    first_at = l.first_at,
    last_at = l.last_at,
    spans_days = (l.first_at at time zone %(time_zone)s)::date < (l.last_at at time zone %(time_zone)s)::date
from left_over as l
where c.customer_id = %(customer)s and c.call_key = l.call_key;

-- name: leave_files
-- Remove the customer from files in which all its days are outside the span, and from files without days of it that
-- landed before the span.
delete from raw.file_customer
where
    customer_id = %(customer)s
    and (
        last_day < %(first)s
        or first_day >= %(until)s
        or (
            first_day is null
            and file_id in (
                select f.file_id from raw.file as f
                where (f.landed_at at time zone %(time_zone)s)::date < %(first)s
            )
        )
    )
returning file_id;

-- name: shorten_files
update raw.file_customer
set
    first_day = greatest(first_day, %(first)s),
    last_day = least(last_day, %(until)s::timestamp - interval '1 day')
where customer_id = %(customer)s and (first_day < %(first)s or last_day >= %(until)s);

-- name: empty_days
-- Set the opened rows of days without detailed to zero, and mark those days dirty.
with emptied as (
    update ops.opened_day as o
    set row_count = 0
    where
        customer_id = %(customer)s
        and mart = any(%(marts)s)
        and row_count > 0
        and {without_detailed}
    returning customer_id, call_date
)

insert into ops.dirty_day (customer_id, call_date, cause)
select distinct
    customer_id,
    call_date,
    'contract'
from emptied
on conflict (customer_id, call_date) do update set mark = excluded.mark, cause = excluded.cause;

-- name: delete_agents
delete from registry.agent
where
    customer_id = %(customer)s
    and (
        (name is null and (%(detailed_from)s::date is null or last_day < %(detailed_from)s::date))
        or customer_id in (select n.customer_id from {named_unduly} as n)
    );
