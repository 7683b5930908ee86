-- For a customer whose time zone has changed: find again which calls span several days, and mark the days that its
-- events are on now.
create or replace function raw.redate(customer integer) returns void
language plpgsql
set timezone = 'UTC'
as $$
declare
    zone text;
begin
    select c.time_zone into strict zone from registry.customer as c where c.customer_id = redate.customer;
    update raw.call as k
    set spans_days = (k.first_at at time zone zone)::date < (k.last_at at time zone zone)::date
    where k.customer_id = customer;

    update raw.file_customer set first_day = first_day - 2, last_day = last_day + 2
    where customer_id = customer;

    -- Only the first and last moment of a call: the days in between are dirty already, or open, and then they are
    -- marked with all open days.
    insert into ops.dirty_day (customer_id, call_date, cause)
    with reached as (
        select first_at as moment
        from raw.call
        where customer_id = customer
        union all
        select last_at
        from raw.call
        where customer_id = customer
        union all
        select occurred_at
        from raw.event
        where customer_id = customer and call_key is null
    )

    select
        customer,
        days.call_date,
        'time zone'
    from (select distinct (moment at time zone zone)::date as call_date from reached) as days
    on conflict (customer_id, call_date) do update set mark = excluded.mark, cause = excluded.cause;
end
$$;

-- Mark the days whose contract is another than when they were last marked. The registry has changed, or time has
-- passed. A call over midnight also gains or loses its part on another day with the contract of that day.
create or replace function ops.follow_contracts() returns void
language plpgsql
set timezone = 'UTC'
as $$
begin
    create temporary table kept on commit drop as select * from registry.kept_contract;
    create temporary table changed on commit drop as
    select distinct customer_id
    from (
        (select * from kept except select * from ops.followed_contract)
        union all
        (select * from ops.followed_contract except select * from kept)
    ) as difference;

    if not exists (select 1 from changed) then
        drop table kept, changed;
        return;
    end if;

    with days as (
        select customer_id, call_date, bool_or(is_open) as is_open
        from (
            select o.customer_id, o.call_date, true as is_open
            from changed as c
            join ops.opened_day as o on c.customer_id = o.customer_id
            where isfinite(o.call_date)
            union all
            select c.customer_id, day::date, false
            from changed as c
            join raw.file_customer as f on c.customer_id = f.customer_id
            cross join generate_series(f.first_day - 1, f.last_day + 1, interval '1 day') as day
        ) as stored
        group by customer_id, call_date
    ),

    options as (
        select d.customer_id, d.call_date, d.is_open, f.option as old, k.option as new
        from days as d
        left join ops.followed_contract as f
            on f.customer_id = d.customer_id
            and d.call_date >= f.valid_from
            and d.call_date < coalesce(f.valid_until, 'infinity')
        left join kept as k
            on k.customer_id = d.customer_id
            and d.call_date >= k.valid_from
            and d.call_date < coalesce(k.valid_until, 'infinity')
    ),

    -- Open days, and days that are kept now and were not before, if raw has data of them. A day that was kept before
    -- and is not open is still dirty.
    held as (
        select o.customer_id, o.call_date, o.old, o.new
        from options as o
        join registry.customer as c on c.customer_id = o.customer_id
        cross join lateral (
            select
                access.begin_of_day(o.call_date, c.time_zone) as begins_at,
                access.begin_of_day(o.call_date + 1, c.time_zone) as ends_at
        ) as day
        where
            o.is_open
            or o.old is null
            and o.new is not null
            and (
                raw.last_event(o.customer_id, begins_at, ends_at) is not null
                or exists (select 1 from raw.calls_over_days(o.customer_id, begins_at, ends_at))
            )
    ),

    turned as (
        select customer_id, call_date from held where (old is null) <> (new is null)
    ),

    reached as (
        select customer_id, call_date from held where old is distinct from new
        union
        select customer_id, call_date + beside from turned, unnest(array[-1, 1]) as beside
        union
        select t.customer_id, day::date
        from turned as t
        join registry.customer as c on c.customer_id = t.customer_id
        cross join lateral raw.calls_over_days(
            t.customer_id,
            access.begin_of_day(t.call_date, c.time_zone),
            access.begin_of_day(t.call_date + 1, c.time_zone)
        ) as k
        cross join generate_series(
            (k.first_at at time zone c.time_zone)::date, (k.last_at at time zone c.time_zone)::date, interval '1 day'
        ) as day
    )

    insert into ops.dirty_day (customer_id, call_date, cause)
    select r.customer_id, r.call_date, 'contract'
    from reached as r
    join held as h on h.customer_id = r.customer_id and h.call_date = r.call_date and h.new is not null
    on conflict (customer_id, call_date) do update set mark = excluded.mark, cause = excluded.cause;

    delete from ops.followed_contract where customer_id in (select customer_id from changed);
    insert into ops.followed_contract
    select kept.* from kept join changed using (customer_id);
    drop table kept, changed;
end
$$;

-- The last month that is over on every clock, and whose late files have had a week.
create or replace function ops.last_month_over() returns date
stable
return date_trunc('month', now() at time zone 'UTC' - interval '1 month 7 days')::date;

-- Mark the days that time alone changes: those of which the contract is another by now, and the open days that were
-- computed while they went on and are over at the moment. These are computed and checked once more.
create or replace function ops.follow_time(moment timestamptz) returns void
language plpgsql
as $$
begin
    perform ops.follow_contracts();
    insert into ops.dirty_day (customer_id, call_date, cause)
    select distinct o.customer_id, o.call_date, 'day over'
    from ops.opened_day as o
    join registry.customer as c on c.customer_id = o.customer_id
    where o.so_far is not null and access.begin_of_day(o.call_date + 1, c.time_zone) <= moment
    on conflict do nothing;
end
$$;

-- The dirty days that have begun at a moment, or are open already. The others wait: a source's clock may be ahead.
create or replace function ops.begun_days(moment timestamptz)
returns table (customer_id integer, call_date date, mark bigint)
stable
language plpgsql
as $$
begin
    return query
    select
        d.customer_id,
        d.call_date,
        d.mark
    from ops.dirty_day as d
    inner join registry.customer as c on d.customer_id = c.customer_id
    where
        access.begin_of_day(d.call_date, c.time_zone) <= moment
        or exists (
            select 1
            from ops.opened_day as o
            where o.customer_id = d.customer_id and o.call_date = d.call_date
        );
end
$$;

-- Discard the build that waits to be opened: what it was computed from is no longer so. Its days are still dirty.
create or replace function ops.discard_build() returns void
language plpgsql
as $$
begin
    delete from ops.build where opened_at is null;
    delete from ops.built_state;
end
$$;

-- Fill the window as it is at a moment: the dirty days that have begun, and for each mart the open days that look back
-- at one of them, as far as `reaches` says. Dirty days that are too old, or that no contract keeps, are not built. A
-- build that waits to be opened is discarded.
-- Returns the number of dirty days in the window.
create or replace function ops.fill_window(reaches jsonb, moment timestamptz default now()) returns bigint
language plpgsql
as $$
declare
    days bigint;
begin
    perform ops.follow_time(moment);
    delete from ops.dirty_day as d
    where
        call_date < access.retention_floor()
        or not exists (
            select 1 from registry.kept_contract as k
            where
                k.customer_id = d.customer_id
                and d.call_date >= k.valid_from
                and (d.call_date < k.valid_until or k.valid_until is null)
        );

    perform ops.discard_build(); -- it was computed from another window
    truncate build."window";
    insert into build."window" (customer_id, call_date, mark)
    select
        d.customer_id,
        d.call_date,
        d.mark
    from ops.begun_days(moment) as d;
    get diagnostics days = row_count;

    insert into build."window" (customer_id, call_date, mark, reached)
    select distinct
        o.customer_id,
        o.call_date,
        0,
        true
    from build."window" as d
    cross join jsonb_each_text(reaches) as mart (name, reach_days)
    cross join lateral generate_series(1, mart.reach_days::integer) as later (days)
    inner join ops.opened_day as o
        on d.customer_id = o.customer_id
        and d.call_date + later.days = o.call_date
        and mart.name = o.mart
    on conflict do nothing;

    -- The data of a day that is not over goes through the customer's last event.
    update build."window" as w
    set so_far = unfinished.so_far
    from (
        select
            going_on.customer_id,
            going_on.call_date,
            coalesce(raw.last_event(going_on.customer_id, '-infinity', moment + interval '1 microsecond'), moment) as so_far
        from build."window" as going_on
        inner join registry.customer as c on c.customer_id = going_on.customer_id
        where access.begin_of_day(going_on.call_date + 1, c.time_zone) > moment
    ) as unfinished
    where w.customer_id = unfinished.customer_id and w.call_date = unfinished.call_date;

    analyze build."window";
    return days;
end
$$;
