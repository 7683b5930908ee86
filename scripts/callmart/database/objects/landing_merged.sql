-- How the events of raw.incoming become those of raw.event, and which days they change.

-- Leave only new events in raw.incoming, each once, as if one file had landed after the other. Rows of one file with
-- one key are one event if the source gave them an id: the first one by the numbers of their lines, as rows do not lie
-- in the order in which they came. Otherwise they are several events, numbered by an ordinal. Returns whether any row
-- went. Uses the table `brought` of raw.merge_incoming.
create or replace function raw.drop_repeated() returns boolean
language plpgsql
set work_mem = '256MB' -- enough to sort millions of keys in memory
set max_parallel_workers_per_gather = 0 -- nearly every row is a group, so workers would save nothing
set enable_hashagg = off -- sorting numbers takes a third of the time of hashing them
as $$
declare
    any_went boolean := false;
begin
    -- The loader may see this table and its locks: which keys are equal it knows anyway.
    if (select count(distinct event_key) < count(*) from raw.incoming) then
        create temporary table equal_row on commit drop as
        select
            *,
            row_number() over (partition by customer_id, occurred_at, event_key, ordinal order by file_number) > 1
            as is_of_earlier_file
        from (
            select
                ctid as place,
                file_number,
                customer_id,
                occurred_at,
                event_key,
                identified,
                row_number() over (
                    partition by customer_id, occurred_at, event_key, file_number order by line_number
                ) - 1 as ordinal
            from raw.incoming
            where event_key in (select event_key from raw.incoming group by event_key having count(*) > 1)
        ) as numbered;
        delete from raw.incoming as i
        using equal_row as e
        where i.ctid = e.place and (e.is_of_earlier_file or (e.identified and e.ordinal > 0));
        any_went := found;
        update raw.incoming as i
        set ordinal = e.ordinal
        from equal_row as e
        where i.ctid = e.place and not e.is_of_earlier_file and not e.identified and e.ordinal > 0;
        drop table equal_row;
    end if;

    -- A file seldom overlaps with what is there, and then mostly at its edges. Only there rows have to be looked up. The
    -- table and its locks are there all the same: the loader can look at the locks of its transaction, and would see
    -- whether the customer has events at these moments.
    create temporary table repeated (place tid) on commit drop;
    lock table repeated in access share mode;
    lock table repeated in row exclusive mode;
    if exists (select 1 from brought where known_between is not null) then
        insert into repeated
        select i.place
        from (
            select i.ctid as place, customer_id, i.occurred_at, i.event_key, i.ordinal
            from raw.incoming as i
            join brought as b using (customer_id)
            where i.occurred_at <@ b.known_between
        ) as i
        join raw.event as e using (customer_id, occurred_at, event_key, ordinal);
        delete from raw.incoming as i using repeated as r where i.ctid = r.place;
        any_went := any_went or found;
    end if;
    drop table repeated;
    return any_went;
end
$$;

-- Store the calls of the new events of raw.incoming, and return them as they are with what was known of them. In a
-- cluster that is one way to the nodes and back with the calls that land: a look-up before would fetch all calls.
create or replace function raw.merge_calls()
returns table (
    customer_id integer, call_key bigint, first_at timestamptz, last_at timestamptz, spans_days boolean
)
language plpgsql
set parallel_tuple_cost = 0 -- raw.incoming has no statistics, so its calls seem too many to share the work
as $$
#variable_conflict use_column
begin
    create temporary table told on commit drop as
    select
        customer_id,
        call_key,
        min(occurred_at - make_interval(secs => coalesce(duration_s, 0) + coalesce(wait_s, 0))) as first_at,
        max(occurred_at) as last_at
    from raw.incoming
    where call_key is not null
    group by customer_id, call_key;

    return query
    insert into raw.call as known (customer_id, call_key, first_at, last_at, spans_days)
    select
        customer_id,
        call_key,
        told.first_at,
        told.last_at,
        (told.first_at at time zone c.time_zone)::date < (told.last_at at time zone c.time_zone)::date
    from told
    join registry.customer as c using (customer_id)
    order by customer_id, call_key -- as in the index, so that each of its pages is looked for once
    on conflict (customer_id, call_key) do update
    set
        first_at = least(known.first_at, excluded.first_at),
        last_at = greatest(known.last_at, excluded.last_at),
        spans_days = known.spans_days or excluded.spans_days
    returning known.customer_id, known.call_key, known.first_at, known.last_at, known.spans_days;
    drop table told;
end
$$;

-- Collect per half day the first and the last new event of each phase of an agent, and the earliest moment from which
-- such a phase is measured. Between these two events there is no other day, so only they need a look at what is before
-- and after them. Makes the table `half_day`.
create or replace function raw.collect_half_days(longest_phase interval) returns void
language plpgsql
set enable_sort = off -- as in raw.refuse_unprepared; sorting takes twice as long as hashing
as $$
begin
    create temporary table half_day on commit drop as
    select
        customer_id,
        agent_key,
        raw.phase_of(event, device_key, queue) as phase,
        min(occurred_at) as first_at,
        max(occurred_at) as last_at,
        min(occurred_at - least(make_interval(secs => coalesce(duration_s, 0)), longest_phase)) as measured_from
    from raw.incoming
    where call_key is null and agent_key is not null
    group by customer_id, agent_key, phase, date_bin('12 hours', occurred_at, 'epoch');
end
$$;

-- Store the new events of raw.incoming, and mark every day that they change: the days of each call that they belong to,
-- and of each status, login and membership that they begin, end or cut short. Files count what landed of them and what
-- was there. Uses the tables `given` of raw.keep and `arrived` of raw.refuse_unprepared. What reads many rows of
-- raw.incoming is a table of its own: PostgreSQL computes that on all cores, but not what is part of an insert.
create or replace function raw.merge_incoming() returns void
language plpgsql
set timezone = 'UTC'
set work_mem = '256MB'
as $$
declare
    any_went boolean;
    longest_phase constant interval := {longest_phase}; -- the longest status, login, membership or wrap-up that is found
    joined record;
begin
    -- Per file and customer: the moments and number of the events that came. Per customer: the moments, what is known
    -- between them, the end of its data before, and the end now. A phase without an end lasts until the end of the data.
    create temporary table brought_by on commit drop as
    select g.file_id, i.*
    from (
        select
            file_number,
            customer_id,
            min(first_at) as first_at,
            max(last_at) as last_at,
            sum(events)::bigint as events
        from arrived
        group by file_number, customer_id
    ) as i
    join given as g using (file_number);

    create temporary table brought on commit drop as
    select i.*, greatest(i.known_until, i.last_at) as now_until
    from (
        select
            customer_id,
            min(first_at) as first_at,
            max(last_at) as last_at,
            raw.known_between(customer_id, min(first_at), max(last_at)) as known_between,
            raw.last_event(customer_id, '-infinity', 'infinity') as known_until
        from brought_by
        group by customer_id
    ) as i;

    -- Only the months that have events: with one wrong date, all months from first to last would be thousands. If no
    -- month lies between those of a customer's first and last event, its rows need not be read.
    perform access.ensure_month('raw.event', month)
    from (
        select date_trunc('month', unnest(array[first_at, last_at]))::date as month from brought
        union
        select date_trunc('month', i.occurred_at)::date
        from raw.incoming as i
        join brought as b using (customer_id)
        where date_trunc('month', b.first_at) + interval '1 month' < date_trunc('month', b.last_at)
    ) as months;

    insert into raw.file_customer (file_id, customer_id, first_day, last_day, events)
    select
        file_id,
        customer_id,
        (first_at at time zone time_zone)::date,
        (last_at at time zone time_zone)::date,
        events
    from brought_by join registry.customer using (customer_id)
    union all
    select distinct g.file_id, k.customer_id, null::date, null::date, 0
    from given as g
    join registry.kept_contract as k on k.customer_id = (g.asked::jsonb ->> 1)::integer
    where not exists (
        select 1 from brought_by as b where b.file_number = g.file_number and b.customer_id = k.customer_id
    );

    any_went := raw.drop_repeated();

    -- The days of the calls that have new events.
    create temporary table merged on commit drop as
    select
        customer_id,
        k.call_key,
        (k.first_at at time zone c.time_zone)::date as first_day,
        (k.last_at at time zone c.time_zone)::date as last_day,
        k.spans_days
    from raw.merge_calls() as k
    join registry.customer as c using (customer_id);

    -- Those that reach another day only by what they had before and the new events together.
    for joined in select * from merged where first_day < last_day and not spans_days
    loop
        update raw.call as k
        set spans_days = true
        where k.customer_id = joined.customer_id and k.call_key = joined.call_key;
    end loop;

    perform raw.collect_half_days(longest_phase);

    create temporary table changed_day on commit drop as
    with neighbours as (
        select
            *,
            case
                when first_at - lag(last_at) over one_after_another <= longest_phase
                    then lag(last_at) over one_after_another
            end as preceded_at,
            lead(first_at) over one_after_another as followed_at
        from half_day
        window one_after_another as (partition by customer_id, agent_key, phase order by first_at)
    ),

    phases as (
        select n.customer_id, p.first_at, p.last_at
        from (
            select
                customer_id,
                array_agg(agent_key) as agents,
                array_agg(phase) as phases,
                array_agg(first_at) as firsts,
                array_agg(last_at) as lasts,
                array_agg(measured_from) as measured,
                array_agg(preceded_at) as preceded,
                array_agg(followed_at) as followed
            from neighbours
            group by customer_id
        ) as n
        join brought using (customer_id)
        cross join lateral raw.phases_around(
            n.customer_id, brought.now_until, longest_phase,
            n.agents, n.phases, n.firsts, n.lasts, n.measured, n.preceded, n.followed
        ) as p
    ),

    reached as (
        select customer_id, first_at, last_at from phases
        union all
        -- Phases that were open at the former end of the data now last until the new end.
        select customer_id, known_until, least(known_until + longest_phase, now_until)
        from brought
        where
            known_until < now_until
            and raw.tells_of_agents(customer_id, known_until - longest_phase, known_until)
    ),

    days as (
        select customer_id, first_day, last_day from merged
        union
        select
            customer_id,
            (reached.first_at at time zone time_zone)::date,
            (reached.last_at at time zone time_zone)::date
        from reached
        join registry.customer using (customer_id)
    )

    select distinct customer_id, day::date as call_date
    from days, generate_series(first_day, last_day, interval '1 day') as day;

    insert into raw.event ({event_names}, line_number, ordinal, file_id)
    select {event_names}, case when not identified then line_number end, ordinal, g.file_id
    from raw.incoming
    join given as g using (file_number);

    -- Only now, as an opening waits for the days that are marked, and ends this session if that takes long.
    insert into ops.dirty_day (customer_id, call_date, cause)
    select customer_id, call_date, 'landed'
    from changed_day
    on conflict (customer_id, call_date) do update set mark = excluded.mark, cause = excluded.cause;

    update raw.file as f
    set landed = n.landed, repeated = n.events - n.landed
    from (
        select
            g.file_id,
            coalesce(case when any_went then max(l.landed) else sum(b.events) end, 0) as landed,
            coalesce(sum(b.events), 0) as events
        from given as g
        left join brought_by as b using (file_number)
        left join (
            select file_number, count(*) as landed from raw.incoming where any_went group by file_number
        ) as l using (file_number)
        group by g.file_id
    ) as n
    where f.file_id = n.file_id;

    drop table brought, brought_by, half_day, merged, changed_day;
end
$$;
