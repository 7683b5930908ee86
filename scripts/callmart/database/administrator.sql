-- For the administrator of a server. This closes what only a superuser can close, so that no login of callmart can make
-- the server unusable for others, or count what others read and write.
-- Run it once per database of callmart, and again after an upgrade of callmart or PostgreSQL:
--
--     psql --dbname callmart --username postgres --set ON_ERROR_STOP=1 \
--         --file scripts/callmart/database/administrator.sql
--
-- It can be run any number of times, and revokes nothing else. If another application in the same database needs one of
-- these functions, grant it by name: grant execute on function pg_advisory_lock(bigint) to application.

-- Somebody may have put functions and operators of their own into `public`. None of them runs here.
select pg_catalog.set_config('search_path', 'pg_catalog', false);

-- On the nodes of a cluster nobody but the owner logs in. This means nothing on one machine.
select set_config('citus.enable_ddl_propagation', 'off', false);

-- Advisory locks and large objects have no limit. A few million locks of one session fill the server's lock table, and
-- then nobody can connect, not even the owner. A large object can store data where no policy, expiry or check for drift
-- finds it. A logical message is written to the write-ahead log, whatever its size.
--
-- The statistics counters show how much every query reads of each table and index. A login that watches them while the
-- publisher reads as one customer after another learns how many rows each customer has. So does one that watches
-- pg_stat_statements, if that extension is there. The position of the write-ahead log shows how many bytes every
-- transaction writes: the size of what lands of another customer, and when. Its summaries, where the server makes them
-- for incremental backups, show that position and which pages were written. The sizes of tables and of the database
-- show the same, whoever may read the tables. pg_locks names the pages and rows that others have read under
-- SERIALIZABLE: how many rows another customer has. When the configuration was loaded, or a checkpoint was made, is
-- when somebody was erased: that does both. Roles that monitor the server keep all of this. So does whoever may create
-- in the database, as callmart's owner, also where it does not own the database.
do $$
declare
    owners        text := (
        select string_agg(grantee::regrole::text, ', ')
        from
            pg_catalog.pg_database,
            pg_catalog.aclexplode(coalesce(datacl, pg_catalog.acldefault('d', datdba)))
        where datname = current_database() and privilege_type = 'CREATE' and grantee <> 0
    );
    -- callmart, which names what is open to everybody, reads these here: each has to stay one string in one line.
    shutting_out  constant text := '^(pg_(try_)?advisory_(xact_)?lock.*|lo_.*|loread|lowrite|pg_logical_emit_message)$';
    counting      constant text := '^pg_(stat_(get_(?!activity$)|statements$)|lock_status$|(current|last)_wal_|(conf_load_time|control_(checkpoint|system)|get_replication_slots|get_wal_summarizer_state|available_wal_summaries|wal_summary_contents)$|(table|relation|total_relation|indexes|database|tablespace)_size$)';
    needed_by_all constant text[] := '{relation_is_a_known_shard,citus_table_is_visible,is_citus_depended_object}';
    everybodys    text;
    counts        boolean;
    needed        text;
begin
    for everybodys, counts in
        select p.oid::regprocedure, p.proname ~ counting
        from pg_catalog.pg_proc as p, pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner)))
        where
            (p.pronamespace = 'pg_catalog'::regnamespace or p.proname = 'pg_stat_statements')
            and (p.proname ~ shutting_out or p.proname ~ counting)
            and grantee = 0
    loop
        if counts then
            execute pg_catalog.format(
                'grant execute on function %s to %s', everybodys, pg_catalog.concat_ws(', ', 'pg_monitor', owners)
            );
        end if;
        execute pg_catalog.format('revoke execute on function %s from public', everybodys);
    end loop;

    -- On the coordinator of a cluster any login could use Citus to ask the nodes, to let this server connect to any
    -- other, and to fill its disk. What Citus itself calls in everybody's name when somebody looks into the catalogue
    -- stays open: it tells nothing. On one machine there is none of it.
    for everybodys, needed in
        select 'routine ' || p.oid::regprocedure, 'execute'
        from
            pg_catalog.pg_proc as p,
            pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner)))
        where
            exists (
                select 1 from pg_catalog.pg_depend
                where classid = 'pg_proc'::regclass and objid = p.oid and deptype = 'e'
                and refobjid in (select oid from pg_catalog.pg_extension where extname = 'citus')
            )
            and p.proname <> all(needed_by_all)
            and grantee = 0
        union all
        select 'table ' || c.oid::regclass, 'select'
        from pg_catalog.pg_class as c, pg_catalog.aclexplode(c.relacl)
        where
            exists (
                select 1 from pg_catalog.pg_depend
                where classid = 'pg_class'::regclass and objid = c.oid and deptype = 'e'
                and refobjid in (select oid from pg_catalog.pg_extension where extname = 'citus')
            )
            and grantee = 0
    loop
        if owners is not null then
            execute pg_catalog.format('grant %s on %s to %s', needed, everybodys, owners);
        end if;
        execute pg_catalog.format('revoke all on %s from public', everybodys);
    end loop;
end
$$;

-- Some commands (CREATE RULE, ALTER INDEX ... DEPENDS ON EXTENSION) first wait for a lock that blocks all readers, and
-- check the caller's rights only then. The names of callmart's logins begin with the name of the database. The function
-- runs with the rights of whoever defines something, so it is made anew: replaced, it would stay with whoever had made
-- one of this name before.
drop event trigger if exists refuse_definitions; -- noqa: PRS
drop function if exists public.refuse_definitions();
create function public.refuse_definitions() returns event_trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if
        starts_with(current_user, current_database() || '_')
        and not has_database_privilege(current_database(), 'create')
    then
        raise insufficient_privilege using message = 'only the owner defines anything in this database';
    end if;
end
$$;
create event trigger refuse_definitions on ddl_command_start execute function public.refuse_definitions();
