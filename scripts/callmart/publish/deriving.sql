-- name: customers
-- The customers with a contract today. `target` is that of the service level, if all queues have the same.
-- `has_days`: days of theirs are open that are not too old.
with targets as (
    select
        customer_id,
        service_level_target
    from registry.customer
    union all
    select
        customer_id,
        service_level_target
    from registry.queue
),

shared_targets as (
    select
        customer_id,
        min(service_level_target) as target
    from targets
    group by customer_id
    having count(*) = count(service_level_target) and min(service_level_target) = max(service_level_target)
)

select
    c.customer_id,
    c.name,
    c.locale,
    c.connection,
    c.time_zone,
    c.export,
    c.tableau_site,
    o.option,
    o.orders,
    t.target,
    exists(
        select 1 from ops.opened_day as d
        where d.customer_id = c.customer_id and d.call_date >= access.retention_floor()
    ) as has_days,
    (
        select max(p.mails_seen) from ops.publication as p
        where p.customer_id = c.customer_id
    ) as mails_seen
from registry.current_option as o
inner join registry.customer as c using (customer_id)
left join shared_targets as t using (customer_id)
order by c.customer_id;

-- name: recipients
select
    customer_id,
    email,
    reports
from registry.recipient
order by customer_id, email;

-- name: extracts
select
    customer_id,
    mart_group,
    content_hash,
    row_count,
    basis ->> 'types' as types,
    file_hash
from ops.extract
order by customer_id, mart_group;

-- name: with_data
-- The marts of which a customer has open rows.
select
    customer_id,
    mart
from ops.opened_day
where mart = any(%(marts)s)
group by customer_id, mart
having sum(row_count) > 0;

-- name: mail_stopped
-- One row per customer whose last complete week, by the customer's clock, must not be mailed yet, with the reason.
with

weeks as (
    select
        customer_id,
        time_zone,
        date_trunc('week', now() at time zone time_zone)::date - 7 as first_day,
        date_trunc('week', now() at time zone time_zone)::date as after
    from registry.customer
),

mailed as materialized (
    select *
    from weeks
    where customer_id in (select customer_id from registry.recipient)
),

-- Of customers of whom nothing has come since: how long before the end of the week their data ends by their clocks, and
-- before the ends of the four weeks before it.
quiet as (
    select
        w.customer_id,
        ends_at = w.after as is_last,
        ends_at - raw.last_event(
            w.customer_id,
            (ends_at - interval '7 days') at time zone w.time_zone,
            ends_at at time zone w.time_zone
        ) at time zone w.time_zone as quiet_for
    from mailed as w
    cross join generate_series(w.after::timestamp, w.after - interval '28 days', interval '-7 days') as ends_at
    where
        raw.last_event(w.customer_id, w.after::timestamp at time zone w.time_zone, 'infinity') is null
        and now() < (w.after + %(patience)s::interval) at time zone w.time_zone
),

-- Usual is what three of these weeks had. How much they differ is how much another one may.
cut_short as (
    select customer_id
    from quiet
    where quiet_for is not null
    group by customer_id
    having
        count(*) filter (where not is_last) >= 3
        and min(quiet_for) filter (where is_last)
        > max(quiet_for) filter (where not is_last)
        + greatest(
            max(quiet_for) filter (where not is_last) - min(quiet_for) filter (where not is_last), interval '1 hour'
        )
),

counted as (
    select
        w.customer_id,
        (
            select count(*) from ops.held_back as h
            where h.customer_id = w.customer_id and h.call_date >= w.first_day and h.call_date < w.after
        ) as held_back,
        (
            select count(*) from ops.dirty_day as d
            where d.customer_id = w.customer_id and d.call_date >= w.first_day and d.call_date < w.after
        ) as unopened,
        (
            select count(distinct o.call_date) from ops.opened_day as o
            where
                o.customer_id = w.customer_id
                and o.call_date >= w.first_day
                and o.call_date < w.after
                and o.so_far is not null
        ) as going_on,
        exists(
            select 1 from raw.file as f
            where f.landed_at >= w.after::timestamp at time zone w.time_zone
        ) as is_landed,
        exists(
            select 1 from cut_short as c
            where c.customer_id = w.customer_id
        ) as is_cut_short,
        exists(
            select 1 from ops.extract as e
            where
                e.customer_id = w.customer_id
                and (e.basis ->> 'opened')::bigint is distinct from (
                    select max(o.build_id) from ops.opened_day as o
                    where o.customer_id = w.customer_id
                )
        ) as is_behind
    from weeks as w
),

reasons as (
    select
        customer_id,
        case
            when held_back > 0 then 'last week has days that are held back; see `callmart status`'
            when unopened > 0 then 'last week has days that are not open yet; run `callmart run`'
            when going_on > 0
                then 'last week has days that were open before they were over; run `callmart run`'
            when not is_landed then 'nothing was landed since the week ended; land its last day'
            when is_cut_short
                then 'the data of last week ends earlier than usual; land the rest, or wait for more until Wednesday'
            when is_behind then 'the extract does not contain all open days; run `callmart extract`'
        end as reason
    from counted
)

select
    customer_id,
    reason
from reasons
where reason is not null;

-- name: held_back
-- The days of each customer that are held back, in their order.
select
    customer_id,
    array_agg(call_date order by call_date)
from ops.held_back
where isfinite(call_date)
group by customer_id;

-- name: outdated
-- The last day of each customer's mart that an earlier definition computed. Of days that were computed before callmart
-- noted definitions, nobody knows.
select
    o.customer_id,
    o.mart,
    max(o.call_date)
from ops.outdated_day as o
inner join ops.definition as d using (definition_id)
where d.fingerprint is not null
group by o.customer_id, o.mart;
