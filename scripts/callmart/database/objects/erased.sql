-- The door for persons who were erased. The loader has looked up the tombstones before, and handed over their rows
-- without them (land/erased.py). It isn't trusted, so the tombstones are looked up again.

-- Note in the table `erased_key` which keys the loader hands over as they are, although there is a tombstone. They are
-- looked for up to 31 days after the end of what was erased of their customer: what began before may end then.
-- They are looked for in every row, also in one from which the loader says that it took somebody out. Uses the table
-- `arrived` of raw.refuse_unprepared.
create or replace function raw.find_erased() returns void
language plpgsql
set enable_nestloop = off -- the tables have no statistics yet, and there may be thousands of tombstones
as $$
declare
    agents text[];
    devices text[];
    callers text[];
    calls integer[];
begin
    create temporary table erased_key (
        customer_id integer, kind text, key text, tombstone text, until timestamptz
    ) on commit drop;
    create temporary table concerned on commit drop as
    select u.customer_id, u.calls_until, s.secret
    from privacy.erased_until as u
    join privacy.secret as s using (customer_id)
    where
        exists (select 1 from arrived as a where a.customer_id = u.customer_id and a.first_at < u.calls_until)
        or exists (
            select 1 from raw.incoming_agent as i where i.customer_id = u.customer_id and i.last_at < u.calls_until
        );
    if not exists (select 1 from concerned) then
        return;
    end if;

    -- How the tombstones begin: few keys begin like one, and only of those a tombstone is made.
    select
        coalesce(array_agg(beginning) filter (where kind = 'agent'), '{{}}'),
        coalesce(array_agg(beginning) filter (where kind = 'device'), '{{}}'),
        coalesce(array_agg(beginning) filter (where kind = 'caller'), '{{}}'),
        coalesce(array_agg(('x' || beginning)::bit(24)::integer) filter (where kind = 'call'), '{{}}')
    into agents, devices, callers, calls
    from (
        select t.kind, left(t.tombstone, 6) as beginning
        from privacy.known_tombstone as t
        where t.customer_id in (select c.customer_id from concerned as c)
        group by 1, 2
    ) as beginnings;

    insert into erased_key
    with suspects as materialized (
        select i.customer_id, i.call_key, i.agent_key, i.device_key, i.number_key, i.target_key, i.target_kind
        from raw.incoming as i
        join concerned as c on c.customer_id = i.customer_id and i.occurred_at < c.calls_until
        where
            (i.call_key >> 40 & 16777215)::integer = any(calls)
            or left(i.agent_key, 6) = any(agents)
            or (i.call_key is not null and left(i.device_key, 6) = any(devices))
            or left(i.number_key, 6) = any(callers)
            or left(i.target_key, 6) = any(agents || callers)
    ),

    keys as (
        select customer_id, 'call' as kind, privacy.of_call(call_key) as key
        from suspects where (call_key >> 40 & 16777215)::integer = any(calls)
        group by customer_id, call_key
        union all
        select customer_id, 'agent', agent_key from suspects where left(agent_key, 6) = any(agents) group by 1, 3
        union all
        select customer_id, 'device', device_key
        from suspects where call_key is not null and left(device_key, 6) = any(devices) group by 1, 3
        union all
        select customer_id, 'caller', number_key from suspects where left(number_key, 6) = any(callers) group by 1, 3
        union all
        select customer_id, case when target_kind = 'number' then 'caller' else 'agent' end, target_key
        from suspects where left(target_key, 6) = any(agents || callers)
        union all
        select i.customer_id, 'agent', i.agent_key
        from raw.incoming_agent as i join concerned using (customer_id)
    ),

    -- Materialized: else it would be made anew for each tombstone of the customer.
    asked as materialized (
        select k.customer_id, k.kind, k.key, privacy.tombstone_of(c.secret, k.kind, k.key) as tombstone
        from keys as k
        join concerned as c using (customer_id)
    )

    select a.customer_id, a.kind, a.key, a.tombstone, max(t.until)
    from asked as a
    join privacy.known_tombstone as t using (customer_id, kind, tombstone)
    group by a.customer_id, a.kind, a.key, a.tombstone;

    -- If a tombstone is of a pseudonym from before a rotation, only whoever has the customer's key can tell whose.
    insert into erased_key
    select i.customer_id, i.kind, i.key, i.tombstone, max(t.until)
    from raw.incoming_marked as i
    join concerned using (customer_id)
    join privacy.tombstone as t using (customer_id, kind, tombstone)
    where i.kind <> 'objector'
    group by i.customer_id, i.kind, i.key, i.tombstone;
end
$$;

-- Whether the loader marks a row as of somebody who was not erased. A mark is the tombstone of the agent whose row it
-- is, so that the loader can't have keys made for agents whom nobody erased, nor in calls that began after the end.
create or replace function raw.marks_anybody() returns boolean
language plpgsql
as $$
begin
    return exists (
        with marked as (
            select distinct i.customer_id, i.call_key, i.erased from raw.incoming as i where i.erased is not null
        ),

        began as (
            select m.*, min(raw.begun_at(i.event, i.occurred_at, i.duration_s)) as first_at
            from marked as m
            left join raw.incoming as i on i.customer_id = m.customer_id and i.call_key = m.call_key
            group by m.customer_id, m.call_key, m.erased
        )

        select 1
        from began as b
        where not exists (
            select 1
            from privacy.known_tombstone as t
            where
                t.customer_id = b.customer_id
                and case b.erased
                    when 'call' then t.kind = 'call'
                    when 'part' then t.kind in ('agent', 'device', 'caller')
                    else
                        t.kind = 'agent'
                        and t.tombstone = b.erased
                        and (b.first_at < t.until or raw.began_before(b.customer_id, b.call_key, t.until))
                end
        )
    );
end
$$;

-- The rows with a key of `erased_key`, and what they have of that person. Call it only if there are such keys.
create or replace function raw.rows_of_erased()
returns table (
    place tid, customer_id integer, occurred_at timestamptz, call_key bigint, of_call boolean, until timestamptz,
    agents_tombstone text, has_device boolean, has_number boolean, has_target boolean
)
language plpgsql
as $$
begin
    return query
    select
        i.ctid,
        i.customer_id,
        i.occurred_at,
        i.call_key,
        bool_or(k.kind = 'call'),
        max(k.until),
        max(k.tombstone) filter (where k.kind = 'agent' and k.key = i.agent_key),
        bool_or(k.kind = 'device' and k.key = i.device_key) is true,
        bool_or(k.kind = 'caller' and k.key = i.number_key) is true,
        bool_or(k.key = i.target_key) is true
    from raw.incoming as i
    join erased_key as k
        on k.customer_id = i.customer_id
        and (
            (k.kind = 'call' and k.key = privacy.of_call(i.call_key))
            or (k.kind = 'agent' and k.key = i.agent_key)
            or (k.kind = 'device' and k.key = i.device_key and i.call_key is not null)
            or (k.kind = 'caller' and k.key = i.number_key)
            or (k.kind = case when i.target_kind = 'number' then 'caller' else 'agent' end and k.key = i.target_key)
        )
    group by i.ctid, i.customer_id, i.occurred_at, i.call_key;
end
$$;

-- Whether the loader hands over events of an agent that were given to another one.
create or replace function raw.brings_mistaken() returns boolean
language plpgsql
as $$
begin
    return
        exists (select 1 from privacy.correction)
        and exists (
            select 1
            from raw.incoming as i
            join privacy.correction as c
                on c.customer_id = i.customer_id and i.occurred_at >= c.since and i.occurred_at < c.until
            join privacy.known_tombstone as t
                on t.entry = c.entry and t.kind = 'mistaken' and t.entered = c.mistaken
            join privacy.secret as s on s.customer_id = c.customer_id
            cross join unnest(
                array[i.agent_key, case when i.target_kind = 'agent' then i.target_key end]
            ) as agent
            where
                left(agent, 6) = left(t.tombstone, 6)
                and t.tombstone = privacy.tombstone_of(s.secret, 'mistaken', agent)
        );
end
$$;

-- Whether the loader hands over somebody who was erased.
create or replace function raw.brings_erased() returns boolean
language plpgsql
as $$
begin
    perform raw.find_erased();
    return
        exists (select 1 from erased_key)
        and (
            exists (select 1 from raw.rows_of_erased() as r where r.of_call or r.occurred_at < r.until)
            or exists (
                select 1
                from raw.incoming_agent as i
                join erased_key as k using (customer_id)
                where k.kind = 'agent' and k.key = i.agent_key and i.last_at < k.until
            )
        );
end
$$;

-- A row after the end of what was erased belongs to it if its call began before (raw.began_before). The loader can't
-- know that; the row is treated here as the loader treats those before, and an agent's id goes with the agent's last
-- row. Returns whether there was one. Uses the table `erased_key`.
create or replace function raw.take_out_late() returns boolean
language plpgsql
as $$
begin
    if not exists (select 1 from erased_key) then
        return false;
    end if;

    with late as (
        select * from raw.rows_of_erased() as r
        where r.call_key is not null and r.occurred_at >= r.until and r.occurred_at < r.until + {longest_phase}::interval
    ),

    began as (
        select l.place
        from late as l
        where
            raw.began_before(l.customer_id, l.call_key, l.until)
            or exists (
                select 1
                from raw.incoming as o
                where
                    o.customer_id = l.customer_id
                    and o.call_key = l.call_key
                    and raw.begun_at(o.event, o.occurred_at, o.duration_s) < l.until
            )
    )

    update raw.incoming as i
    set
        erased = coalesce(l.agents_tombstone, i.erased, 'part'),
        agent_key = case when l.agents_tombstone is null then i.agent_key end,
        device_key = case when l.agents_tombstone is null and not l.has_device then i.device_key end,
        number_key = case when not l.has_number then i.number_key end,
        target_key = case when not l.has_target then i.target_key end
    from began as b
    join late as l using (place)
    where i.ctid = b.place;
    if not found then
        return false;
    end if;

    delete from raw.incoming_agent as a
    using erased_key as k
    where
        k.customer_id = a.customer_id
        and k.kind = 'agent'
        and k.key = a.agent_key
        and not exists (
            select 1 from raw.incoming as i where i.customer_id = a.customer_id and i.agent_key = a.agent_key
        );
    return true;
end
$$;

-- What ends after the end of what was erased of an agent, outside of calls, is measured from that end: nothing is
-- told of the agent before it. Uses the table `erased_key`.
create or replace function raw.cut_reaching_back() returns void
language plpgsql
as $$
begin
    if not exists (select 1 from erased_key) then
        return;
    end if;
    update raw.incoming as i
    set duration_s = extract(epoch from i.occurred_at - k.until)
    from erased_key as k
    where
        k.kind = 'agent'
        and k.customer_id = i.customer_id
        and k.key = i.agent_key
        and i.call_key is null
        and i.occurred_at >= k.until
        and i.occurred_at - make_interval(secs => i.duration_s) < k.until;
end
$$;

-- How many events of a moment equal a row of somebody who was erased. Without a call, one of any call and agent does.
create or replace function raw.count_equal(
    customer integer, moment timestamptz, its_platform text, its_event text, its_queue text, its_call bigint, agent text
)
returns bigint
stable
language plpgsql
as $$
declare
    equal bigint;
begin
    select count(*) into equal
    from raw.event as e
    where
        e.customer_id = customer
        and e.occurred_at = moment
        and e.platform = its_platform
        and e.event = its_event
        and e.queue is not distinct from its_queue
        and (
            its_call is null
            or (
                e.call_key = its_call
                and case when e.agent_key like '~%' then '~' else coalesce(e.agent_key, '') end = agent
            )
        );
    return equal;
end
$$;

-- The key that stands for the only erased agent of a call; null if there is none, or several.
create or replace function raw.stand_in(customer integer, its_call bigint) returns text
stable
language plpgsql
as $$
declare
    agents text[];
begin
    select array_agg(distinct e.agent_key) into agents
    from raw.call as c
    join raw.event as e
        on c.customer_id = e.customer_id and c.call_key = e.call_key and e.occurred_at between c.first_at and c.last_at
    where c.customer_id = customer and c.call_key = its_call and e.agent_key like '~%';
    return case when cardinality(agents) = 1 then agents[1] end;
end
$$;

-- Settle the rows of persons who were erased, and count per file what becomes of them: one that equals an erased row is
-- a repeat and goes, also if the row is of an earlier file that lands with this one; another of an erased call is left
-- out; the rest lands, with keys that lead to nobody. Uses the table `arrived`.
create or replace function raw.settle_erased()
returns table (file_number integer, repeated bigint, left_out bigint, landed bigint)
language plpgsql
as $$
#variable_conflict use_column
begin
    if not (raw.take_out_late() or exists (select 1 from arrived where left_out_rows > 0)) then
        return;
    end if;
    create temporary table of_erased on commit drop as
    with numbered as (
        select
            ctid as place,
            file_number,
            customer_id,
            occurred_at,
            platform,
            event,
            queue,
            call_key,
            erased,
            case when erased in ('call', 'part') then coalesce(agent_key, '') else '~' end as agent,
            row_number() over (
                partition by
                    file_number, customer_id, occurred_at, platform, event, queue, call_key, agent_key,
                    erased in ('call', 'part')
            ) as nth
        from raw.incoming
        where erased is not null
    )

    select
        n.*,
        (
            n.erased <> 'call'
            and row_number() over (
                partition by
                    n.customer_id, n.occurred_at, n.platform, n.event, n.queue, n.call_key, n.agent, n.nth,
                    n.erased = 'call'
                order by n.file_number
            ) > 1
        )
        or n.nth <= raw.count_equal(
            n.customer_id, n.occurred_at, n.platform, n.event, n.queue,
            case when n.erased <> 'call' then n.call_key end, n.agent
        ) as is_known
    from numbered as n;

    return query
    select
        o.file_number,
        count(*) filter (where o.is_known),
        count(*) filter (where not o.is_known and o.erased = 'call'),
        count(*) filter (where not o.is_known and o.erased <> 'call')
    from of_erased as o
    group by o.file_number;
    delete from raw.incoming as i using of_erased as o where i.ctid = o.place and (o.is_known or o.erased = 'call');

    -- An agent who has one key in the call already keeps it; two erased agents in one call can't be told apart.
    with agents as (
        select customer_id, call_key, erased, count(*) over (partition by customer_id, call_key) as of_call
        from of_erased
        where not is_known and agent = '~'
        group by customer_id, call_key, erased
    ),

    stand_ins as materialized (
        select
            a.customer_id,
            a.call_key,
            a.erased,
            coalesce(
                case when a.of_call = 1 then raw.stand_in(a.customer_id, a.call_key) end, raw.random_agent()
            ) as agent_key
        from agents as a
    )

    update raw.incoming as i
    set event_key = raw.random_key(), agent_key = coalesce(s.agent_key, i.agent_key)
    from of_erased as o
    left join stand_ins as s
        on o.agent = '~' and s.customer_id = o.customer_id and s.call_key = o.call_key and s.erased = o.erased
    where i.ctid = o.place and not o.is_known and o.erased <> 'call';
    drop table of_erased;
end
$$;
