-- What the server refuses to land.

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
-- affects only the figures of its own customer. All rows are read once into a few groups, and once more for their
-- names, and both are checked. Uses the table `given` of raw.keep.
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
        ) as left_out_well
    from raw.incoming
    group by file_number, customer_id, platform, event, reason, direction, target_kind, number_withheld;

    select
        case
            when not keyed then 'a person is not given as a key'
            when not left_out_well then 'a row of somebody who was erased is not as the landing makes it'
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
            when last_at > latest then 'an event is more than a day ahead of the database''s clock'
        end as found
    into fault
    from arrived left join raw.known_event as known using (event)
    order by found
    limit 1;

    -- Names are few. To look at those of each row would take longer than to find those that differ.
    fault := coalesce(fault, (
        select
            case
                when raw.shows_number(name) then 'a number is not given as a key'
                when length(name) > {longest_text} then 'a text is too long'
                when name ~ {control} then 'a text holds a control character'
            end as found
        from (select distinct i.queue, i.line, i.target from raw.incoming as i) as named,
            unnest(array[queue, line, target]) as name
        order by found
        limit 1
    ));

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
                when i.agent ~ {control} then 'an agent''s id holds a control character'
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
                when r.steers then 'a reason holds a control character'
            end as found
        from (select *, count(*) over (partition by file_number) as number from given) as g
        left join (
            select
                file_number,
                count(*) as rejected,
                bool_or(raw.shows_number(reason)) as has_number,
                max(length(reason)) as longest_text,
                bool_or(reason ~ {control}) as steers
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
