-- Which open days were computed by an earlier definition of a mart, and what becomes of them.

-- name: outdated
-- A row per mart and open day that was not computed by the mart's definition of today. Of a mart without days, the
-- customer's newest open day computes it again.
create temporary table outdated on commit drop as
with computed as (
    select
        o.mart,
        o.customer_id,
        case
            when isfinite(o.call_date) then o.call_date
            else (
                select max(l.call_date) from ops.opened_day as l
                where l.customer_id = o.customer_id
            )
        end as call_date
    from ops.opened_day as o
    where
        (
            o.definition_id = any(
                array(
                    select d.definition_id from ops.definition as d
                    where d.mart = any(%(marts)s) and d.definition_id <> all(%(present)s)
                )
            )
            or o.definition_id is null
        )
        and o.mart = any(%(marts)s)
        and (o.customer_id = %(customer)s or %(customer)s::integer is null)
)

select
    o.mart,
    o.customer_id,
    o.call_date,
    case
        when d.call_date is not null then 'waiting'
        when k.customer_id is null or o.call_date < access.retention_floor() then 'not kept'
        when c.customer_id is not null then 'closed'
        else 'due'
    end as state
from computed as o
left join ops.dirty_day as d using (customer_id, call_date)
left join registry.kept_contract as k
    on o.customer_id = k.customer_id
    and o.call_date >= k.valid_from
    and (o.call_date < k.valid_until or k.valid_until is null)
left join privacy.closed as c on o.customer_id = c.customer_id
where
    isfinite(o.call_date)
    and o.call_date >= coalesce(%(first)s::date, '-infinity')
    and o.call_date <= coalesce(%(last)s::date, 'infinity');

-- name: due
-- The days to compute, customer by customer, so that few extracts change in a night; the newest day first.
select distinct
    customer_id,
    call_date
from outdated
where state = 'due'
order by customer_id asc, call_date desc;

-- name: marts
select
    mart,
    count(*),
    count(distinct customer_id),
    min(call_date),
    max(call_date)
from outdated
where state = 'due'
group by mart
order by mart;

-- name: limits
-- How many days are left out, and how many come back without something. In the first days that are kept, as many as a
-- longest phase has, what began before them is missing.
with days as (
    select distinct
        customer_id,
        call_date,
        state
    from outdated
)

select
    count(*) filter (where state = 'due') as due,
    count(*) filter (where state = 'waiting') as waiting,
    count(*) filter (where state = 'not kept') as not_kept,
    count(*) filter (where state = 'closed') as closed,
    count(*) filter (
        where state = 'due' and call_date < access.retention_floor() + %(longest_phase)s::interval
    ) as cut_short,
    count(*) filter (
        where
        state = 'due'
        and exists (
            select 1
            from privacy.erased_until as e
            inner join registry.customer as c using (customer_id)
            where e.customer_id = days.customer_id and days.call_date < (e.until at time zone c.time_zone)::date
        )
    ) as before_erasure,
    count(*) filter (
        where
        state = 'due'
        and exists (
            select 1 from privacy.objector as o
            where o.customer_id = days.customer_id
        )
    ) as with_objectors
from days;

-- name: measured
-- How long the last twenty runs that computed anything took to build, check and open it, and how many days that was.
with recent as (
    select distinct run_id from ops.run_stage
    where stage in ('build', 'rebuild') and (counts ->> 'days')::integer > 0 and ended_at is not null
    order by run_id desc
    limit 20
)

select
    sum(extract(epoch from ended_at - began_at))::double precision as seconds,
    sum((counts ->> 'days')::integer) filter (where stage in ('build', 'rebuild')) as days
from ops.run_stage
where run_id in (select r.run_id from recent as r) and stage in ('build', 'validation', 'opening', 'rebuild');

-- name: spent
-- How long the runs of a day were at it. One that died counts until the next one began, and one at work until now.
with of_day as (
    select
        run_id,
        lead(began_at) over (order by run_id) as next_began_at
    from ops.run
    where (began_at at time zone %(zone)s)::date = %(today)s
)

select coalesce(sum(extract(epoch from coalesce(s.ended_at, d.next_began_at, clock_timestamp()) - s.began_at)), 0)
from of_day as d
inner join ops.run_stage as s using (run_id)
where s.stage = 'rebuild';

-- name: open_days
-- Whether any of the days is open.
select 1
from ops.opened_day
where
    isfinite(call_date)
    and (customer_id = %(customer)s or %(customer)s::integer is null)
    and call_date >= coalesce(%(first)s::date, '-infinity')
    and call_date <= coalesce(%(last)s::date, 'infinity')
limit 1;

-- name: mark
-- A day that waits already keeps its cause.
with marked as (
    insert into ops.dirty_day (customer_id, call_date, cause)
    select
        customer_id,
        call_date,
        'rebuild'
    from unnest(%(customers)s::integer[], %(days)s::date[]) as piece (customer_id, call_date)
    on conflict do nothing
    returning customer_id
)

insert into ops.audit_log (action, customer_id, details)
select
    'rebuild',
    customer_id,
    jsonb_build_object('days', count(*), 'by', %(by)s::text)
from marked
group by customer_id;

-- name: held_back
-- The days that were computed again, and that their checks hold back.
select count(*)
from ops.held_back
inner join ops.dirty_day as d using (customer_id, call_date)
where d.cause = 'rebuild' and released_at is null;
