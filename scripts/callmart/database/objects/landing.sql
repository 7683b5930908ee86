-- Landing: the functions that the loader may call, and what they need. They run as the owner, so that the loader needs
-- no right to read: it can only write to raw.incoming and its like. Their search path ends with pg_temp, so that types
-- and functions that it makes there are not used.

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
        raise check_violation using message = 'a file lands only in a transaction of the last six hours; begin one';
    end if;
    if exists (select 1 from ops.rotation) then
        raise check_violation using message = 'the key of a customer is being rotated; wait until that has ended';
    end if;
    -- Rows that a wrong clock turned away would count as landed ever after. Not by `begun_at`: over midnight, another
    -- command may have begun on the next day.
    if exists (
        select 1 from ops.clock as c
        where (clock_timestamp() at time zone {time_zone})::date not between c.day and c.day + {days_of_rest}
    ) then
        raise check_violation using message = 'the clock has jumped; correct it, or accept it with `callmart clock`';
    end if;
end
$$;

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
    select
        customer_id,
        agent_key,
        min(agent) filter (where not privacy.objects(customer_id, agent_key)), -- an objector's id is not kept
        max((last_at at time zone time_zone)::date)
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
