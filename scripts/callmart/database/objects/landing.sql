-- Landing. These functions run as the owner, so that the login that lands needs no right to read.

-- The events of the raw format (raw_format.py), and the values that a row of each event may have.
create or replace view raw.known_event as
select
    known.event,
    known.reasons,
    known.tells_number,
    known.ends_phase,
    known.kinds,
    known.directions
from {events} as known (event, reasons, tells_number, ends_phase, kinds, directions);

-- When what an event tells of an agent began (raw_format.py).
create or replace function raw.begun_at(event text, occurred_at timestamptz, duration_s double precision)
returns timestamptz
stable
return {beginning};

-- The phase that an agent's event outside of calls begins or ends. Only an event of the same phase can end it.
create or replace function raw.phase_of(event text, device_key text, queue text) returns text
immutable
parallel safe
return {phase_of_event};

-- What has landed, by the two functions above. A node of a cluster has none of our functions, but any view's columns.
create or replace view raw.timed_event as
select
    customer_id,
    occurred_at,
    event_key,
    ordinal,
    event,
    call_key,
    queue,
    agent_key,
    device_key,
    duration_s,
    {phase_of_event} as phase,
    {beginning} as begun_at
from raw.event;

-- The customer's last event from one moment on and before another, or null. It looks only into the months between them.
-- In a cluster, Citus takes any SQL only about one customer, so this and others of landing are asked per customer.
create or replace function raw.last_event(customer integer, since timestamptz, until timestamptz) returns timestamptz
stable
language plpgsql
as $$
declare
    found_at timestamptz;
begin
    select e.occurred_at into found_at
    from raw.event as e
    where e.customer_id = customer and e.occurred_at >= since and e.occurred_at < until
    order by e.occurred_at desc
    limit 1;
    return found_at;
end
$$;

-- From the customer's first event between two moments to the last one, or null if there is none.
create or replace function raw.known_between(customer integer, since timestamptz, until timestamptz) returns tstzrange
stable
language plpgsql
as $$
declare
    first_at timestamptz;
    last_at timestamptz;
begin
    select min(e.occurred_at), max(e.occurred_at) into first_at, last_at
    from raw.event as e
    where e.customer_id = customer and e.occurred_at between since and until;
    return case when first_at is not null then tstzrange(first_at, last_at, '[]') end;
end
$$;

-- The customer's calls over several days with a part between two moments.
create or replace function raw.calls_over_days(customer integer, since timestamptz, until timestamptz)
returns table (first_at timestamptz, last_at timestamptz)
stable
language plpgsql
as $$
begin
    return query
    select k.first_at, k.last_at
    from raw.call as k
    where k.customer_id = customer and k.spans_days and k.last_at >= since and k.first_at < until;
end
$$;

-- Whether a call belongs to what was before a moment: whether its first event lies there, or something began there that
-- an agent did. The beginning in raw.call does not say that, because it is measured back from waits as well.
create or replace function raw.began_before(customer integer, call bigint, moment timestamptz) returns boolean
stable
language plpgsql
as $$
begin
    return exists (
        select 1
        from raw.call as c
        where
            c.customer_id = customer
            and c.call_key = call
            and c.first_at < moment
            and (
                c.last_at < moment
                or exists (
                    select 1
                    from raw.timed_event as e
                    where
                        e.customer_id = customer
                        and e.call_key = call
                        and e.occurred_at between c.first_at and c.last_at
                        and e.begun_at < moment
                )
            )
    );
end
$$;

-- Whether this is the name of a time zone. The customers' come first, as the list of all takes long.
create or replace function raw.is_time_zone(zone text) returns boolean
stable
return zone in (select c.time_zone from registry.customer as c) or zone in (select z.name from pg_timezone_names as z);

-- Whether these are the options of a file as callmart gives them: its format, customer, platform and time zone.
create or replace function raw.are_options(asked text) returns boolean
stable
return case
    when asked !~ '^\["[a-z]\w*", (null|\d{{1,10}}), "[a-z]\w*", (null|"[^"\\]+")\]$' then false
    else
        asked::jsonb ->> 0 = any({formats})
        and (
            asked::jsonb ->> 1 is null
            or (asked::jsonb ->> 1)::bigint in (select c.customer_id from registry.customer as c)
        )
        and asked::jsonb ->> 2 = any({platforms})
        and (asked::jsonb ->> 3 is null or raw.is_time_zone(asked::jsonb ->> 3))
end;

-- Refuse rows that `prepare` would never produce. Somebody else could have the loader's password, so everything that
-- protects a person or limits the size of a table is checked again. Whether a row is complete is not checked: that
-- affects only the figures of its own customer. All rows are read once into a few groups, and the groups are checked.
-- Uses the table `given` of raw.keep.
create or replace function raw.refuse_unprepared() returns void
language plpgsql
set enable_sort = off -- raw.incoming has no statistics, and sorting takes four times as long as hashing
as $$
declare
    latest constant timestamptz := now() + interval '1 day';
    fault text;
begin
    -- raw.keep and raw.merge_incoming use this table too, so that they needn't read all rows again.
    create temporary table arrived on commit drop as
    select
        file_number, customer_id, platform, event, reason, direction, target_kind, number_withheld,
        count(*) as events,
        min(occurred_at) as first_at,
        max(occurred_at) as last_at,
        count(queue) as queues,
        count(agent_key) as agents,
        count(number_key) as numbers,
        count(line) as lines,
        count(device_key) as devices,
        count(target) as targets,
        count(target_key) as target_keys,
        count(recorded) as recordings,
        count(duration_s) as durations,
        least(min(duration_s), min(wait_s)) as shortest_s,
        greatest(max(duration_s), max(wait_s)) as longest_s, -- NaN is greater than any number
        greatest(max(length(queue)), max(length(line)), max(length(target))) as longest_text,
        bool_and(
            (agent_key is null or raw.is_key(agent_key))
            and (number_key is null or raw.is_key(number_key))
            and (device_key is null or raw.is_key(device_key))
            and (target_key is null or raw.is_key(target_key))
        ) as keyed,
        count(erased) as left_out_rows,
        bool_and(
            erased is null
            or (erased = 'part' and call_key is not null)
            or (erased = 'call' and num_nonnulls(call_key, agent_key, number_key, device_key, target_key) = 0)
            or (raw.is_key(erased) and call_key is not null and num_nonnulls(agent_key, device_key) = 0)
        ) as left_out_well,
        coalesce(bool_or(raw.shows_number(queue) or raw.shows_number(line) or raw.shows_number(target)), false)
            as numbered
    from raw.incoming
    group by file_number, customer_id, platform, event, reason, direction, target_kind, number_withheld;

    select
        case
            when not keyed then 'a person is not given as a key'
            when not left_out_well then 'a row of somebody who was erased is not as the landing makes it'
            when numbered then 'a number is not given as a key'
            when platform <> all ({platforms}) then 'a platform is not one of the raw format'
            when known.event is null then 'an event is not one of the raw format'
            when reason is not null and reason <> all (known.reasons) then 'a reason is not one of the event''s'
            when direction is not null and direction <> all (known.directions) then 'a direction is not one of the event''s'
            when target_kind is not null and target_kind <> all (known.kinds) then 'a target_kind is not one of the event''s'
            when numbers > 0 and (number_withheld or not known.tells_number)
                then 'an event has a number that it may not have'
            when platform = any ({line_platforms}) and queues + agents + devices > 0
                then 'a line has a queue, an agent or a device'
            when platform <> all ({line_platforms}) and lines > 0 then 'a platform without lines has a line'
            when targets > 0 and target_kind is distinct from 'queue'
                then 'a target that is not a queue is not given as a key'
            when target_keys > 0 and coalesce(target_kind not in ('agent', 'number'), true)
                then 'a target that is neither agent nor number has a key'
            when recordings > 0 and arrived.event <> 'call_ended' then 'an event other than call_ended has a recording'
            when durations > 0 and not known.ends_phase then 'an event that ends nothing has a duration'
            when shortest_s < 0 or longest_s > {longest_duration_s} then 'a duration is negative or far too long'
            when longest_text > {longest_text} then 'a text is too long'
            when last_at > latest then 'an event is more than a day ahead of the database''s clock'
        end as found
    into fault
    from arrived left join raw.known_event as known using (event)
    order by found
    limit 1;

    -- The days under a contract, of the customers whose events or agents have come. raw.keep uses this table too.
    create temporary table kept on commit drop as
    select
        k.customer_id,
        k.option,
        c.time_zone,
        daterange(greatest(k.valid_from, access.retention_floor()), k.valid_until) as days
    from registry.kept_contract as k
    join registry.customer as c using (customer_id)
    where
        (k.valid_until is null or k.valid_until > access.retention_floor())
        and k.customer_id in (select customer_id from arrived union select customer_id from raw.incoming_agent);

    -- Ids of agents may come only for customers whose agents are not anonymous, and for days under a detailed contract.
    fault := coalesce(fault, (
        select
            case
                when not raw.is_key(i.agent_key) then 'an agent is not given as a key'
                when i.agent = '' or length(i.agent) > {longest_text} then 'an agent''s id is empty or too long'
                when i.last_at > latest then 'an agent was seen more than a day ahead of the database''s clock'
                when c.anonymous_agents is not false then 'an anonymous agent has an id'
                when k.customer_id is null then 'an agent has an id outside of a detailed contract'
            end as found
        from raw.incoming_agent as i
        left join registry.customer as c using (customer_id)
        left join kept as k
            on i.customer_id = k.customer_id
            and k.option = 'detailed'
            and (i.last_at at time zone k.time_zone)::date <@ k.days
        order by found
        limit 1
    ));

    fault := coalesce(
        fault,
        case
            when exists (select 1 from arrived where left_out_rows > 0) and raw.marks_anybody()
                then 'a row is marked as of somebody who was not erased'
            when raw.brings_mistaken() then 'it brings a mistake back that was corrected'
            when raw.brings_erased() then 'it brings somebody back who was erased'
        end
    );

    fault := coalesce(fault, (
        select
            case
                when
                    (raw.is_key(g.name_key) and raw.is_key(g.path_key) and raw.is_key(g.content_key)) is not true
                    or g.look !~ '^[0-9 ]{{1,150}}$'
                    then 'a file is not given as a key'
                when g.time_zone is not null and raw.is_time_zone(g.time_zone) is not true
                    then 'the time zone of a file is not known'
                when
                    exists (
                        select 1 from jsonb_object_keys(g.turned_away_by) as customer
                        where
                            customer <> 'null'
                            and not exists (
                                select 1 from registry.customer as c where c.customer_id::text = customer
                            )
                    )
                    then 'rows of a customer that is not in the registry are counted as turned away'
                when
                    exists (select 1 from jsonb_each_text(g.turned_away_by) as t where t.value !~ '^[1-9]\d{{0,14}}$')
                    or (
                        select coalesce(sum(case when t.value ~ '^\d{{1,15}}$' then t.value::bigint end), 0)
                        from jsonb_each_text(g.turned_away_by) as t
                    ) <> g.turned_away
                    or (least(g.rejected, g.turned_away) >= 0 and g.erased >= 0) is not true
                    or greatest(g.rejected, g.turned_away) > g.row_count
                    or g.rejected <> coalesce(r.rejected, 0)
                    or g.file_number is null
                    or g.number <> 1
                    then 'the counts do not add up'
                when r.has_number then 'a reason holds a number'
                when r.longest_text > {longest_text} then 'a reason is too long'
            end as found
        from (select *, count(*) over (partition by file_number) as number from given) as g
        left join (
            select
                file_number,
                count(*) as rejected,
                bool_or(raw.shows_number(reason)) as has_number,
                max(length(reason)) as longest_text
            from raw.incoming_reject
            group by file_number
        ) as r using (file_number)
        order by found
        limit 1
    ));

    if fault is null and exists (
        select 1 from (select distinct g.asked from given as g) as o
        where raw.are_options(o.asked) is not true
    ) then
        fault := 'the options of a file are not such as callmart has';
    end if;

    if
        fault is null
        and (
            exists (select 1 from arrived where file_number not in (select g.file_number from given as g))
            or exists (select 1 from raw.incoming_reject where file_number not in (select g.file_number from given as g))
        )
    then
        fault := 'the counts do not add up';
    end if;

    if fault is not null then
        raise check_violation using message = fault;
    end if;
end
$$;

-- Refuse a customer's file whose local times have landed as those of another time zone: they would land once more, as
-- other moments. It is known by its content, or by its place unless its days are later than those that landed. Uses the
-- tables `given` of raw.keep and `arrived` of raw.refuse_unprepared.
create or replace function raw.refuse_other_zone() returns void
language plpgsql
as $$
declare
    former text;
    present text;
begin
    with local_times as (
        select
            g.content_key,
            g.path_key,
            g.time_zone,
            g.asked::jsonb ->> 1 as customer,
            min(a.first_at) as first_at,
            max(a.last_at) as last_at
        from given as g
        join arrived as a using (file_number)
        where g.time_zone is not null
        group by g.file_number, g.content_key, g.path_key, g.time_zone, g.asked
    ),

    known as (
        select t.*, f.file_id, true as is_same
        from local_times as t
        join raw.file as f using (content_key)
        union all
        select t.*, l.file_id, false as is_same
        from local_times as t
        join raw.file_look as l using (path_key)
    )

    select f.time_zone, k.time_zone into former, present
    from known as k
    join raw.file as f using (file_id)
    where
        f.asked::jsonb ->> 1 = k.customer
        and f.last_local_day is not null
        and (k.is_same or f.last_local_day >= (k.first_at at time zone k.time_zone)::date)
        and exists ( -- two names can be of one zone
            select 1
            from generate_series(k.first_at, k.last_at + interval '7 days', interval '7 days') as moment
            where moment at time zone f.time_zone <> moment at time zone k.time_zone
        )
    limit 1;
    if found then
        raise exception using
            errcode = 'CM001', -- landing.py says what to do
            message = format(
                'its times have landed as those of %s, and would land once more as those of %s', former, present
            );
    end if;
end
$$;

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

-- Whether a customer has an event of an agent outside of calls between two moments.
create or replace function raw.tells_of_agents(customer integer, since timestamptz, until timestamptz) returns boolean
stable
language plpgsql
as $$
begin
    perform 1
    from raw.event as e
    where
        e.customer_id = customer
        and e.call_key is null
        and e.agent_key is not null
        and e.occurred_at between since and until
    limit 1;
    return found;
end
$$;

-- From when until when the phases last that have new events, of a customer's agents. Given of each phase are its first
-- and last new event, and the moments of the new events before and after these.
create or replace function raw.phases_around(
    customer integer, now_until timestamptz, longest_phase interval,
    agents text[], phases text[], firsts timestamptz[], lasts timestamptz[], measured timestamptz[],
    preceded timestamptz[], followed timestamptz[]
)
returns table (first_at timestamptz, last_at timestamptz)
stable
rows 10 -- with 1,000, which is the default, PostgreSQL clears memory for a million phases in each landing
language plpgsql
as $$
begin
    return query
    -- Not materialized: each look-up reads its few rows by an index.
    with outside_calls as not materialized (
        select e.agent_key, e.event, e.phase, e.occurred_at, e.duration_s
        from raw.timed_event as e
        where e.customer_id = customer and e.call_key is null
    )

    select
        least(coalesce(before.occurred_at, n.preceded_at), n.measured_from, after.measured_from),
        -- A phase that nothing follows lasts until the end of the data.
        coalesce(after.occurred_at, least(n.followed_at, n.last_at + longest_phase, now_until))
    from unnest(agents, phases, firsts, lasts, measured, preceded, followed)
        as n (agent_key, phase, first_at, last_at, measured_from, preceded_at, followed_at)
    left join lateral (
        select e.occurred_at
        from outside_calls as e
        where
            e.agent_key = n.agent_key
            and e.phase = n.phase
            and e.occurred_at >= coalesce(n.preceded_at, n.first_at - longest_phase)
            and e.occurred_at < n.first_at
        order by e.occurred_at desc
        limit 1
    ) as before on true
    -- The next event that ends the phase. A moment with as many beginnings as ends changes nothing and is skipped.
    left join lateral (
        select
            e.occurred_at,
            e.occurred_at - least(make_interval(secs => coalesce(e.duration_s, 0)), longest_phase) as measured_from
        from outside_calls as e
        where
            e.agent_key = n.agent_key
            and e.phase = n.phase
            and e.occurred_at > n.last_at
            and e.occurred_at < least(n.followed_at, n.last_at + longest_phase)
            and (
                n.phase = 'agent_status'
                or (
                    select
                        count(*) filter (where o.event in ('agent_logged_in', 'agent_joined_queue', 'wrapup_started'))
                        <> count(*) filter (where o.event in ('agent_logged_out', 'agent_left_queue', 'wrapup_ended'))
                    from outside_calls as o
                    where
                        o.agent_key = e.agent_key
                        and o.phase = e.phase
                        and o.occurred_at = e.occurred_at
                )
            )
        order by e.occurred_at, e.duration_s
        limit 1
    ) as after on true;
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

-- Refuse a transaction that looks at the database as it was when it began. It would not see who was erased since, nor
-- which contract was ended.
create or replace function raw.refuse_snapshot() returns void
language plpgsql
as $$
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise check_violation using message = 'a file lands only in a transaction that is read committed';
    end if;
end
$$;

-- Until this transaction ends, no other session lands, and the registry and the keys stay as they are. `begun_at` is
-- when it began: what it lands is judged by the clock of then.
create or replace function raw.hold_still(begun_at timestamptz) returns void
language plpgsql
as $$
begin
    perform raw.refuse_snapshot();
    lock table raw.incoming in access exclusive mode;
    lock table registry.version in share mode;
    if begun_at < clock_timestamp() - interval '6 hours' then -- also if it has waited that long for the locks
        raise check_violation using message = 'a file lands only in a transaction of the last six hours';
    end if;
    if exists (select 1 from ops.rotation) then
        raise check_violation using message = 'the key of a customer is being rotated';
    end if;
end
$$;

-- The functions that the loader may call, and what they need. It can write to raw.incoming and its like, and read
-- nothing that has landed. The search path ends with pg_temp, so that types and functions that it makes there are not
-- used.

-- Whether what landed under a version of the registry is all that lands today: since then nothing has changed about the
-- customers of the file, and where it has rows of unknown customers, none was added. It never is under version 0, when
-- rows of the file wait for a key.
create or replace function raw.is_up_to_date(registry_version integer, customers integer[]) returns boolean
stable
return case
    when registry_version = (select coalesce(max(v.version), 0) from registry.version as v) then true
    when customers is null then false
    else not (
        exists (
            select 1 from registry.gate as g
            where g.customer_id = any(customers) and g.version > registry_version
        )
        or (
            array_position(customers, null) is not null
            and exists (
                select 1 from registry.gate as g
                where g.added_in > registry_version
            )
        )
    )
end;

-- The numbers of the files that are what they were when their content was last known to have landed. `files` has their
-- path_key, asked and look.
create or replace function raw.recognised(files jsonb) returns setof integer
language sql
stable
security definer
begin atomic
    select g.file_number
    from jsonb_to_recordset(files) as g (file_number integer, path_key text, asked text, look text)
    inner join raw.file_look as l on g.path_key = l.path_key and g.asked = l.asked and g.look = l.look
    inner join raw.file as f on l.file_id = f.file_id
    where raw.is_up_to_date(f.registry_version, f.customers);
end;

-- The numbers of the files whose content has landed with the same options. Notes what they are now.
create or replace function raw.has_landed(files jsonb) returns setof integer
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    with known as (
        select distinct on (g.file_number) g.file_number, g.path_key, g.asked, g.look, f.file_id
        from
            jsonb_to_recordset(files)
            as g (file_number integer, path_key text, content_key text, asked text, look text)
        join raw.file as f on f.content_key = g.content_key and f.asked = g.asked
        where raw.is_up_to_date(f.registry_version, f.customers)
        order by g.file_number, f.file_id desc
    ),

    noted as (
        insert into raw.file_look (path_key, asked, look, file_id)
        select distinct on (k.path_key, k.asked) k.path_key, k.asked, k.look, k.file_id
        from known as k
        where raw.is_key(k.path_key) and k.look ~ '^[0-9 ]{{1,150}}$'
        on conflict (path_key, asked) do update set look = excluded.look, file_id = excluded.file_id
    )

    select k.file_number from known as k;
end
$$;

-- Leave nothing that has been handed over, also not in free space. To truncate an empty table would cost as much as to
-- land a small file.
create or replace function raw.empty_incoming() returns void
language plpgsql
as $$
declare
    filled regclass;
begin
    for filled in
        select t.name
        from unnest(
            array['raw.incoming', 'raw.incoming_reject', 'raw.incoming_agent', 'raw.incoming_marked']::regclass[]
        ) as t (name)
        where pg_relation_size(t.name) > 0
    loop
        execute format('truncate %s', filled);
    end loop;
end
$$;

-- Begin to land files. False if the registry has changed since they passed the gate, or a key was rotated.
create or replace function raw.receive(registry_version integer) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform raw.hold_still(now());
    perform raw.empty_incoming(); -- of what this session has written before
    return registry_version = (select coalesce(max(version), 0) from registry.version);
end
$$;

-- Store what the loader has written to raw.incoming. Its files are told apart by their numbers. Returns per file how
-- many of its events landed, were there already, or are of somebody who was erased.
create or replace function raw.keep(registry_version integer, files jsonb)
returns table (file_number integer, landed bigint, repeated bigint, of_erased bigint)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set jit = off -- what has just come has no statistics, so that small queries seem to be worth compiling
as $$
#variable_conflict use_column
declare
    any_went boolean;
begin
    perform raw.hold_still(now()); -- whoever has the loader's password need not have begun with raw.receive
    create temporary table given on commit drop as
    select nextval(pg_get_serial_sequence('raw.file', 'file_id')) as file_id, g.*
    from jsonb_to_recordset(files) as g (
        file_number integer, name_key text, path_key text, content_key text, asked text, look text, time_zone text,
        row_count bigint, rejected bigint, turned_away bigint, turned_away_by jsonb, waits boolean,
        incomplete_last_line boolean, erased bigint
    )
    order by g.file_number;
    perform raw.refuse_unprepared();
    perform raw.refuse_other_zone();

    -- The gate is applied again, because the loader is not trusted. If one contract covers a customer's first and last
    -- moment, it covers all moments between them: no time zone of today sets its clock back to the day before.
    with reached as (
        select customer_id, min(first_at) as first_at, max(last_at) as last_at
        from arrived
        group by customer_id
    ),

    doubtful as materialized (
        select r.customer_id
        from reached as r
        where not exists (
            select 1
            from kept as k
            where
                k.customer_id = r.customer_id
                and (r.first_at at time zone k.time_zone)::date <@ k.days
                and (r.last_at at time zone k.time_zone)::date <@ k.days
        )
    )

    delete from raw.incoming as i
    using doubtful as d
    where
        d.customer_id = i.customer_id
        and not exists (
            select 1
            from kept as k
            where k.customer_id = i.customer_id and (i.occurred_at at time zone k.time_zone)::date <@ k.days
        );
    any_went := found;

    insert into raw.file (
        file_id, name_key, content_key, registry_version, asked, time_zone, last_local_day, row_count, rejected,
        turned_away, incomplete_last_line, erased, customers
    )
    overriding system value
    select
        g.file_id,
        g.name_key,
        g.content_key,
        case when g.waits then 0 else keep.registry_version end,
        g.asked,
        g.time_zone,
        (t.last_at at time zone g.time_zone)::date,
        g.row_count,
        g.rejected,
        g.turned_away,
        g.incomplete_last_line,
        g.erased,
        case when g.waits then null else w.customers end
    from given as g
    left join (
        select o.file_number, array_agg(distinct c.customer_id) as customers
        from (
            select a.file_number, a.customer_id from arrived as a
            union all
            select t.file_number, nullif(customer, 'null')::integer
            from given as t, jsonb_object_keys(t.turned_away_by) as customer
            union all
            select t.file_number, (t.asked::jsonb ->> 1)::integer
            from given as t
            where t.asked::jsonb ->> 1 is not null
        ) as o
        left join registry.customer as c using (customer_id)
        group by o.file_number
    ) as w using (file_number)
    left join (select file_number, max(last_at) as last_at from arrived group by file_number) as t using (file_number);
    insert into raw.file_look (path_key, asked, look, file_id)
    select distinct on (path_key, asked) path_key, asked, coalesce(look, '0'), file_id -- no file looks like this
    from given
    on conflict (path_key, asked) do update set look = excluded.look, file_id = excluded.file_id;
    insert into raw.reject (file_id, line_number, reason)
    select g.file_id, r.line_number, r.reason
    from raw.incoming_reject as r
    join given as g using (file_number);

    create temporary table settled on commit drop as select * from raw.settle_erased();
    perform raw.cut_reaching_back();
    -- Rows went, so what is left is counted again.
    if any_went or exists (select 1 from settled) then
        delete from arrived;
        insert into arrived (file_number, customer_id, first_at, last_at, events)
        select file_number, customer_id, min(occurred_at), max(occurred_at), count(*)
        from raw.incoming
        group by file_number, customer_id;
    end if;

    -- Agents who object and were not here when a key was rotated: only who has the customer's key can tell.
    insert into privacy.renewed_tombstone (customer_id, kind, tombstone, renewed, key_fingerprint)
    select i.customer_id, i.kind, i.tombstone, privacy.tombstone_of(s.secret, i.kind, i.key), c.key_fingerprint
    from raw.incoming_marked as i
    join privacy.secret as s using (customer_id)
    join registry.customer as c using (customer_id)
    where
        i.kind = 'objector'
        and raw.is_key(i.key)
        and exists (
            select 1 from privacy.tombstone as t
            where t.customer_id = i.customer_id and t.kind = i.kind and t.tombstone = i.tombstone
        )
    on conflict do nothing;

    perform raw.merge_incoming();

    -- The ids behind the keys of agents. If the marts call an agent by its key, and its id comes now, mark the
    -- customer's last open day: with any day all agents of the customer are named again.
    if to_regclass('store.agent') is not null then
        insert into ops.dirty_day (customer_id, call_date, cause)
        select o.customer_id, max(o.call_date), 'agent ids'
        from ops.opened_day as o
        where
            isfinite(o.call_date)
            and o.customer_id in (
                select i.customer_id
                from raw.incoming_agent as i
                join store.agent as m on m.customer_id = i.customer_id and m.agent_key = i.agent_key
                left join registry.agent as a on a.customer_id = i.customer_id and a.agent_key = i.agent_key
                where a.agent is null
            )
        group by o.customer_id
        on conflict (customer_id, call_date) do update set mark = excluded.mark, cause = excluded.cause;
    end if;
    insert into registry.agent as known (customer_id, agent_key, agent, last_day)
    select customer_id, agent_key, min(agent), max((last_at at time zone time_zone)::date)
    from raw.incoming_agent join registry.customer using (customer_id)
    group by customer_id, agent_key
    on conflict (customer_id, agent_key) do update
    set agent = coalesce(known.agent, excluded.agent), last_day = greatest(known.last_day, excluded.last_day);

    insert into ops.audit_log (action, customer_id, details)
    select 'turned away', nullif(customer, 'null')::integer, jsonb_build_object('rows', rows::bigint, 'file', g.file_id)
    from given as g, jsonb_each_text(g.turned_away_by) as t (customer, rows);

    -- Of rows of the erased the loader learns only how many it gave. Their events have no keys; else it could make up
    -- such a row, and see whether there is an event of somebody erased in a call, or at a moment.
    return query
    select
        g.file_number,
        f.landed - coalesce(s.landed, 0),
        f.repeated,
        g.erased + coalesce(s.repeated + s.left_out + s.landed, 0)
    from given as g
    join raw.file as f using (file_id)
    left join settled as s using (file_number);
    update raw.file as f
    set repeated = f.repeated + s.repeated, erased = f.erased + s.left_out
    from settled as s
    join given as g using (file_number)
    where f.file_id = g.file_id;
    drop table arrived, given, kept, settled;
    perform raw.empty_incoming();
end
$$;
