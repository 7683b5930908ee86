-- ops: callmart's books: what it has done, and what is still to do.

create or replace function ops.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'the audit log is append-only';
end
$$;

create or replace trigger append_only
before update or truncate on ops.audit_log
for each statement execute function ops.refuse_change();

-- What runs do by themselves, each time. It is kept for two years, like the days that it is about; every other entry
-- has no end. Seals keep which actions these were on their day: if one is added here of which a log has entries, their
-- expiry is a breach for ever (docs/decisions.md says what to do).
create or replace function ops.routine_actions() returns text[]
immutable
return array[
    'failed', 'held back', 'mail held', 'mailed', 'opened', 'published', 'raw files removed', 'turned away'
];

create or replace function ops.refuse_deletion() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if
        old.action = any(ops.routine_actions())
        and old.at < access.begin_of_day(access.retention_floor(), {time_zone})
    then
        return old;
    end if;
    raise exception 'the audit log is append-only, but for entries of runs that are older than two years';
end
$$;

create or replace trigger kept
before delete on ops.audit_log
for each row execute function ops.refuse_deletion();

-- The checks that open days fail, and in how many rows: somebody released these days.
create or replace view ops.accepted as
select
    o.customer_id,
    o.call_date,
    f.mart,
    f.expectation,
    f.failing_rows
from ops.opened_day as o
inner join ops.quality_failure as f
    on o.customer_id = f.customer_id and o.call_date = f.call_date and o.build_id = f.build_id
inner join ops.quality_result as r
    on f.build_id = r.build_id and f.mart = r.mart and f.expectation = r.expectation
where r.severity = 'critical';

-- The definition by which the last build computed each mart.
create or replace view ops.latest_definition as
select
    one.key as mart,
    one.value::integer as definition_id
from (
    select definitions from ops.build
    where definitions is not null
    order by build_id desc
    limit 1
) as latest
cross join jsonb_each_text(latest.definitions) as one;

-- The open days of a mart that another definition computed than the last build's.
create or replace view ops.outdated_day as
select
    mart,
    customer_id,
    call_date,
    definition_id
from ops.opened_day
where
    isfinite(call_date)
    and (
        definition_id = any(
            array(
                select definition_id from ops.definition
                except
                select definition_id from ops.latest_definition
            )
        )
        or definition_id is null
    );

-- A request of a person waits until its days are opened anew, also if files land on them meanwhile.
create or replace function ops.keep_person() returns trigger language plpgsql as $$
begin
    new.cause := old.cause;
    return new;
end
$$;

create or replace trigger keep_person
before update on ops.dirty_day
for each row when (old.cause = 'person') execute function ops.keep_person();

-- Whether a `dbt run` or `dbt build` by itself is at work. It has a session whenever it computes, and is never long
-- without one. So if none is there for as long as `patience`, it was killed, and its mark goes.
create or replace function ops.dbt_is_at_work(patience interval) returns boolean
language plpgsql
as $$
declare
    until constant timestamptz := clock_timestamp() + patience;
begin
    while exists (select 1 from ops.dbt_at_work) loop
        perform pg_stat_clear_snapshot();
        if exists (
            select 1 from pg_catalog.pg_stat_activity
            where
                datname = current_database() and usename = current_user
                and application_name = 'dbt' and pid <> pg_backend_pid()
        ) then
            return true;
        end if;
        if clock_timestamp() > until then
            delete from ops.dbt_at_work;
        else
            perform pg_sleep(0.1);
        end if;
    end loop;
    return false;
end
$$;

-- Begin a `dbt run` or `dbt build` by itself. An error says so if callmart or another dbt is at work: all would write
-- the same tables. callmart takes its lock before it looks for the mark (database/lock.py), so neither slips in.
create or replace function ops.begin_dbt(invocation text) returns void
language plpgsql
as $$
begin
    if ops.dbt_is_at_work('10 seconds') then
        raise exception 'another dbt is at work on this database; wait until it has finished';
    end if;
    if exists (select 1 from ops.rotation) then
        raise exception 'a rotation of keys is not finished; `callmart keys rotate` goes on with it';
    end if;
    if to_regclass('ops.running_now') is not null then
        begin
            lock table ops.running_now in share update exclusive mode nowait;
        exception when lock_not_available then
            raise exception 'a callmart run is at work on this database; wait until it has finished';
        end;
    end if;
    insert into ops.dbt_at_work (invocation) values (begin_dbt.invocation);
end
$$;

-- A hash of a query that stays the same if only its comments, its white space or the database's name change.
create or replace function ops.fingerprint(query text) returns text
stable
return (
    select encode(sha256(convert_to(string_agg(found.token[1], ' ' order by found.place), 'UTF8')), 'hex')
    from
        regexp_matches(
            replace(query, '"' || current_database() || '".', ''),
            -- Texts, quoted names, two kinds of comments, words and numbers, and any other sign.
            $$'(?:[^']|'')*'|"[^"]*"|--[^\n]*|/\*(?:[^*]|\*+[^*/])*\*+/|\w+|[^\s\w]$$,
            'g'
        ) with ordinality as found (token, place)
    where found.token[1] !~ '^(--|/\*)'
);

-- Note by which definition each mart is computed, and return its number per mart. `models` are all models as dbt
-- compiled them: model, reads (the models that it reads), query, and of a mart also mart, columns and reach_days. The
-- definition of a mart is its query with those of all models that it reads, directly or through others.
create or replace function ops.note_definitions(models jsonb) returns jsonb
begin atomic
    with recursive model as materialized (
        select
            m.*,
            ops.fingerprint(m.query) as fingerprint
        from
            jsonb_to_recordset(models)
                as m (model text, reads text[], query text, mart text, columns text[], reach_days integer)
    ),

    upstream as (
        select
            mart,
            model
        from model
        where mart is not null
        union
        select
            u.mart,
            unnest(m.reads)
        from upstream as u
        inner join model as m using (model)
    ),

    computed as (
        select
            u.mart,
            string_agg(m.fingerprint, ' ' order by m.fingerprint) as fingerprints
        from upstream as u
        inner join model as m using (model)
        group by u.mart
    ),

    present as (
        select
            mart,
            encode(sha256(convert_to(c.fingerprints || ' ' || m.reach_days, 'UTF8')), 'hex') as fingerprint,
            m.columns
        from computed as c
        inner join model as m using (mart)
    ),

    added as (
        insert into ops.definition (mart, fingerprint, columns)
        select
            mart,
            fingerprint,
            columns
        from present
        on conflict do nothing
        returning definition_id, mart
    )

    select jsonb_object_agg(p.mart, coalesce(a.definition_id, d.definition_id))
    from present as p
    left join added as a using (mart)
    left join ops.definition as d using (mart, fingerprint);
end;
