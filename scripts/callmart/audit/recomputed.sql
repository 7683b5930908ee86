-- name: fit
-- The open days per mart that the project of now has computed, and that nothing waits for; a mart without days has one,
-- -infinity. In the first month that is kept, some look back at events that are gone. What has to be ordered is kept
-- for as long as the customer says.
create temporary table fit on commit drop as
select
    o.customer_id,
    o.call_date,
    o.mart,
    o.row_count,
    o.xmin::text as opened_by
from ops.opened_day as o
inner join ops.latest_definition as l on o.mart = l.mart and o.definition_id = l.definition_id
left join registry.kept_contract as k
    on o.customer_id = k.customer_id
    and o.call_date >= k.valid_from
    and (o.call_date < k.valid_until or k.valid_until is null)
where
    o.mart = any(%(marts)s)
    and (not isfinite(o.call_date) or (o.call_date > access.retention_floor() + 31 and k.customer_id is not null))
    and o.so_far is null
    and (
        o.mart <> all(%(ordered)s)
        or o.call_date > (
            select c.first_day from registry.contact_list as c
            where c.customer_id = o.customer_id
        )
    )
    and not exists (
        select 1 from ops.dirty_day as d
        where d.customer_id = o.customer_id and d.call_date = o.call_date
    )
    and not exists (
        select 1 from ops.held_back as h
        where h.customer_id = o.customer_id and h.call_date = o.call_date
    )
    and o.customer_id not in (select c.customer_id from privacy.closed as c)
    and %(project)s = (
        select b.project from ops.build as b
        order by b.build_id desc
        limit 1
    );

-- name: touched
-- The days of which a row was written since they were opened.
create temporary table touched (customer_id integer, call_date date) on commit drop;

-- name: touched_rows
insert into pg_temp.touched (customer_id, call_date)
select distinct
    f.customer_id,
    f.call_date
from pg_temp.fit as f
inner join {mart} as m on f.customer_id = m.customer_id and f.call_date = {day}
where f.mart = {name} and f.opened_by <> m.xmin::text;

-- name: touched_events
with written as (
    select
        e.customer_id,
        (e.occurred_at at time zone c.time_zone)::date as call_date,
        min(age(e.xmin)) as age
    from raw.event as e
    inner join registry.customer as c on e.customer_id = c.customer_id
    group by e.customer_id, (e.occurred_at at time zone c.time_zone)::date
)

insert into pg_temp.touched (customer_id, call_date)
select distinct
    f.customer_id,
    f.call_date
from pg_temp.fit as f
inner join written as w on f.customer_id = w.customer_id and f.call_date = w.call_date
where w.age < age(f.opened_by::xid);

-- name: choose
-- At most so many days with about so many calls: a day of UTC is near enough.
with days as (
    select
        customer_id,
        call_date,
        sum(row_count) as row_count,
        (customer_id, call_date) in (select * from pg_temp.touched) as is_touched
    from pg_temp.fit
    where isfinite(call_date)
    group by customer_id, call_date
),

candidate as materialized (
    select
        customer_id,
        call_date,
        row_number() over (order by not is_touched, random()) as place
    from days
    where row_count > 0 or is_touched
    order by place
    limit %(days)s
),

counted as (
    select
        c.*,
        sum(
            (
                select count(*) from raw.call as called
                where
                    called.customer_id = c.customer_id
                    and called.last_at >= c.call_date and called.last_at < c.call_date + 1
            )
        ) over (
            order by c.place
            rows between unbounded preceding and 1 preceding
        ) as calls_before
    from candidate as c
)

insert into pg_temp."window" (customer_id, call_date, mark)
select
    customer_id,
    call_date,
    0
from counted
where calls_before is null or calls_before < %(calls)s;

-- name: unchosen
delete from pg_temp.fit as f
where not exists (
    select 1 from pg_temp."window" as w
    where w.customer_id = f.customer_id and (w.call_date = f.call_date or not isfinite(f.call_date))
);

-- name: compared
-- How many rows of each day are in one of both only. A mart without days keeps what any kept day shows, so a row more
-- that is computed is no difference there.
with chosen as materialized (
    select
        customer_id,
        call_date
    from pg_temp.fit
    where mart = {name}
),

stored as materialized (
    select {columns}
    from {stored} as m
    where (m.customer_id, {day}) in (select * from chosen)
),

computed as materialized (
    select {columns}
    from {computed} as m
    where (m.customer_id, {day}) in (select * from chosen)
),

missing as (
    select * from stored
    except all
    select * from computed
),

added as (
    select * from computed
    where {has_days}
    except all
    select * from stored
),

differing as (
    select * from missing
    union all
    select * from added
)

select
    m.customer_id,
    {day}::text as call_date,
    count(*)
from differing as m
group by m.customer_id, {day}
order by m.customer_id, {day};

-- name: take_away
-- One row that is compared. In a mart without days it has to be one that is stored, too.
delete from {computed}
where ctid = (
    select min(m.ctid)
    from {computed} as m
    where
        (m.customer_id, {day}) in (
            select
                f.customer_id,
                f.call_date
            from pg_temp.fit as f
            where f.mart = {name}
        )
        and ({has_days} or ({key}) in (select {key} from {stored}))
);
