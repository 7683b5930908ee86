-- For the administrator of a server: what only a superuser can close, so that no login of callmart's shuts anybody out
-- or counts what others read.
-- Once for each database of callmart's, and again after an upgrade of callmart or PostgreSQL:
--
--     psql --dbname callmart --username postgres --set ON_ERROR_STOP=1 \
--         --file scripts/callmart/database/administrator.sql
--
-- It can be run as often as one likes, and takes nothing else away. An application in the same database that needs one
-- of these functions is granted it by name: grant execute on function pg_advisory_lock(bigint) to application.

-- Advisory locks and large objects have no limit: a few million locks of one session fill the server's table of locks,
-- and then nobody gets in, its owner included. A large object is a place to store things that no policy, expiry or
-- drift would find. A message to replication is written to the log, of any size.
--
-- The counters of statistics tell what each query of anybody read of each table and index: a login that looks at them
-- while the publisher reads as one customer after another learns how many rows each has. Who monitors the server keeps
-- them, and so does the owner of the database.
do $$
declare
    everybodys regprocedure;
    counts     boolean;
begin
    for everybodys, counts in
        select p.oid, p.proname ~ '^pg_stat_get_'
        from pg_catalog.pg_proc as p, pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner)))
        where
            p.pronamespace = 'pg_catalog'::regnamespace
            and (
                p.proname ~ '^(pg_(try_)?advisory_(xact_)?lock.*|lo_.*|loread|lowrite|pg_logical_emit_message)$'
                or p.proname ~ '^pg_stat_get_(?!activity$)'
            )
            and grantee = 0
    loop
        if counts then
            execute pg_catalog.format(
                'grant execute on function %s to pg_monitor, %I',
                everybodys,
                (select pg_get_userbyid(datdba) from pg_catalog.pg_database where datname = current_database())
            );
        end if;
        execute pg_catalog.format('revoke execute on function %s from public', everybodys);
    end loop;
end
$$;

-- Some commands (CREATE RULE, ALTER INDEX ... DEPENDS ON EXTENSION) wait for a lock that stops all readers, and only
-- then ask whether they may. The names of callmart's logins begin with the database's.
create or replace function public.refuse_definitions() returns event_trigger
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
drop event trigger if exists refuse_definitions; -- noqa: PRS
create event trigger refuse_definitions on ddl_command_start execute function public.refuse_definitions();
