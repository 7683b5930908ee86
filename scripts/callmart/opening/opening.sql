-- The statements that open a build, in this order and in one transaction. {mart} and so on are filled in for each mart.

-- name: failing
-- The days of the build that fail a critical check. `released` if a person lets them be opened all the same.
create temporary table failing on commit drop as
with found as (
    select
        f.customer_id,
        f.call_date,
        f.mart,
        f.expectation,
        f.failing_rows,
        f.mart || ': ' || f.expectation as cause
    from ops.quality_failure as f
    inner join ops.quality_result as r using (build_id, mart, expectation)
    where f.build_id = %(build)s and r.severity = 'critical'
),

-- What was released stays so on days on which nothing new has landed since they were opened.
accepted as (
    select
        a.customer_id,
        a.call_date,
        a.mart,
        a.expectation,
        a.failing_rows
    from build."window" as w
    inner join ops.accepted as a using (customer_id, call_date)
    left join ops.dirty_day as d using (customer_id, call_date)
    where
        d.cause in ('rebuild', 'held back', 'day over')
        or (w.reached and d.cause is null) -- it has one if something has landed since the window was filled
)

select
    f.customer_id,
    f.call_date,
    string_agg(distinct f.cause, '; ') as cause,
    bool_and(
        -- A release covers only the data that was there, and the checks that the day failed, in as many rows. Of a day
        -- that waits for a person's request nobody knows whether something has landed.
        coalesce(
            h.released_at is not null
            and d.cause in ('released', 'person')
            and f.cause = any(string_to_array(h.cause, '; '))
            and f.failing_rows <= coalesce(was.failing_rows, f.failing_rows),
            false
        )
        or exists (
            select 1 from accepted as a
            where
                a.customer_id = f.customer_id
                and a.call_date = f.call_date
                and a.mart = f.mart
                and a.expectation = f.expectation
                and a.failing_rows >= f.failing_rows
        )
    ) as released
from found as f
left join ops.held_back as h using (customer_id, call_date)
left join ops.dirty_day as d using (customer_id, call_date)
left join ops.quality_failure as was
    on h.build_id = was.build_id
    and f.customer_id = was.customer_id
    and f.call_date = was.call_date
    and f.mart = was.mart
    and f.expectation = was.expectation
group by f.customer_id, f.call_date;

-- name: passed
-- The days that may be opened.
create temporary table passed on commit drop as
select
    w.customer_id,
    w.call_date,
    w.mark,
    w.reached,
    w.so_far,
    k.option = 'detailed' as is_detailed
from build."window" as w
left join registry.kept_contract as k
    on w.customer_id = k.customer_id
    and w.call_date >= k.valid_from
    and (w.call_date < k.valid_until or k.valid_until is null)
where
    w.call_date >= access.retention_floor() -- a day can become too old after it was computed
    and not exists (
        select 1
        from privacy.closed as c
        where c.customer_id = w.customer_id
    )
    and not exists (
        select 1
        from failing as f
        where f.customer_id = w.customer_id and f.call_date = w.call_date and not f.released
    );

-- name: leave_overtaken
-- Where a file has landed since the window was filled, some models have seen it and others have not. A day that fails
-- then is neither opened nor held back: it is still dirty, and the next build has all of it. But a version that shows
-- more than the contract of now may is closed at once.
delete from failing as f
using build."window" as w
inner join ops.dirty_day as d using (customer_id, call_date)
where
    f.customer_id = w.customer_id
    and f.call_date = w.call_date
    and d.mark > w.mark
    and not f.released
    and not exists (
        select 1
        from ops.opened_day as o
        inner join registry.kept_contract as k
            on o.customer_id = k.customer_id
            and o.call_date >= k.valid_from
            and (o.call_date < k.valid_until or k.valid_until is null)
        where
            o.customer_id = f.customer_id
            and o.call_date = f.call_date
            and o.is_detailed
            and k.option = 'standard'
    );

-- name: changed
-- The passed days that changed themselves. The others are in the window because a mart reaches back to one that did.
create temporary table changed on commit drop as
select
    customer_id,
    call_date,
    so_far,
    is_detailed
from passed
where not reached;

-- name: changed_customer
-- For marts without days: the one day of each customer with a changed day that passed.
create temporary table changed_customer on commit drop as
select distinct
    customer_id,
    '-infinity'::date as call_date,
    null::timestamptz as so_far,
    null::boolean as is_detailed
from changed;

-- name: begin_mart
-- A mart that is new has no rows on the days that are open already, and no definition there: a rebuild computes them.
insert into ops.opened_day (customer_id, call_date, mart, row_count, build_id)
select
    customer_id,
    {open_day},
    {mart_name},
    0,
    max(build_id)
from ops.opened_day
where
    isfinite(call_date)
    and not exists (
        select 1 from ops.opened_day as o
        where o.mart = {mart_name}
    )
group by customer_id, {open_day};

-- name: delete_rows
delete from {mart} as m using {replaced} as r
where m.customer_id = r.customer_id and {day} = r.call_date and {pruned};

-- name: insert_rows
insert into {mart} ({column_names})
select {computed_columns}
from {computed} as m
inner join {replaced} as r on m.customer_id = r.customer_id and {day} = r.call_date;

-- name: delete_counts
delete from ops.opened_day as o using {replaced} as r
where o.mart = {mart_name} and o.customer_id = r.customer_id and o.call_date = r.call_date;

-- name: insert_counts
-- Record how many rows each day has now, by which definition, and how far its data goes. Returns the sum of the rows.
with counts as (
    insert into ops.opened_day (
        customer_id, call_date, mart, row_count, build_id, definition_id, so_far, is_detailed
    )
    select
        r.customer_id,
        r.call_date,
        {mart_name},
        count(m.customer_id),
        {build},
        {definition},
        r.so_far,
        r.is_detailed
    from {replaced} as r
    left join {computed} as m on r.customer_id = m.customer_id and {day} = r.call_date
    group by r.customer_id, r.call_date, r.so_far, r.is_detailed
    returning row_count
)

select coalesce(sum(row_count), 0)::bigint from counts;

-- name: closing
-- Days that are held back and whose open version may not stay: those that are over, of which a part was opened while
-- they lasted; and those that a detailed contract opened, and that show more than the standard one of now may.
create temporary table closing on commit drop as
select distinct
    f.customer_id,
    f.call_date
from failing as f
inner join build."window" as w using (customer_id, call_date)
inner join ops.opened_day as o using (customer_id, call_date)
left join registry.kept_contract as k
    on f.customer_id = k.customer_id
    and f.call_date >= k.valid_from
    and (f.call_date < k.valid_until or k.valid_until is null)
where
    not f.released
    and (
        (w.so_far is null and o.so_far is not null)
        or (o.is_detailed and k.option = 'standard')
    );

-- name: close_days
delete from ops.opened_day as o using closing as c
where o.customer_id = c.customer_id and o.call_date = c.call_date;

-- name: read_extracts_again
-- No later build shows which rows went.
update ops.extract as e
set basis = e.basis - 'opened'
from (select distinct customer_id from closing) as c
where e.customer_id = c.customer_id;

-- name: hold_no_longer
delete from ops.held_back as h using passed as p
where h.customer_id = p.customer_id and h.call_date = p.call_date;

-- name: hold_back
insert into ops.held_back (customer_id, call_date, build_id, cause)
select
    customer_id,
    call_date,
    %(build)s,
    cause
from failing
where not released
on conflict (customer_id, call_date) do update
    set
        build_id = excluded.build_id,
        cause = excluded.cause,
        released_at = null,
        released_by = null,
        release_reason = null;

-- name: keep_dirty
-- Failed days stay dirty. A failed day that only `reach` brought in becomes dirty.
insert into ops.dirty_day (customer_id, call_date, cause)
select
    customer_id,
    call_date,
    'held back'
from failing
where not released
on conflict do nothing;

-- name: clean
-- A day for which a file has landed meanwhile has a newer mark and stays dirty.
delete from ops.dirty_day as d using passed as p
where d.customer_id = p.customer_id and d.call_date = p.call_date and d.mark = p.mark;

-- name: log
insert into ops.audit_log (action, customer_id, details)
select
    'opened',
    customer_id,
    jsonb_build_object('build', %(build)s::bigint, 'days', count(*), 'released', count(f.released))
from changed
left join failing as f using (customer_id, call_date)
group by customer_id
union all
select
    'held back',
    customer_id,
    jsonb_build_object('build', %(build)s::bigint, 'days', count(*), 'closed', count(c.call_date))
from failing
left join closing as c using (customer_id, call_date)
where not released
group by customer_id;
