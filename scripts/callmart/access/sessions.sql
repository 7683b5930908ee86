-- name: long_waits
-- Whether anybody has waited for a lock for longer than `patience`.
select 1
from pg_locks
where not granted and waitstart < clock_timestamp() - %(patience)s::interval
limit 1;

-- name: in_the_way
-- The sessions that have blocked a session of the owner or of the loader for longer than `patience`. The loader's wait
-- for each other.
select distinct
    a.usename::text,
    a.pid
from pg_locks as l
inner join pg_stat_activity as waiting on l.pid = waiting.pid
cross join lateral unnest(pg_blocking_pids(l.pid)) as blocking (pid)
inner join pg_stat_activity as a on blocking.pid = a.pid
where
    not l.granted
    and l.waitstart < clock_timestamp() - %(patience)s::interval
    and waiting.usename in (current_user, %(loader)s)
    and waiting.usename <> a.usename
    and waiting.datname = current_database();

-- name: starting
-- The sessions that are being started: until then they hold a lock on their database, and don't show whose they are.
select l.pid
from pg_locks as l
left join pg_stat_activity as a on l.pid = a.pid
where
    l.locktype = 'object'
    and l.classid = 'pg_database'::regclass
    and a.usename is null;

-- name: transaction
-- The number of the next transaction, or of one before it. They begin anew after four billion.
select mod(greatest(pg_snapshot_xmax(pg_current_snapshot())::text::bigint - %(ago)s, 3), 4294967296)::text::xid::text;

-- name: older
-- The sessions that keep rows in the files which were deleted before `now`, the number of a transaction.
select
    usename::text,
    pid
from pg_stat_activity
where
    datname = current_database()
    and usename is not null -- the server's own processes end soon
    and pid <> pg_backend_pid()
    and greatest(age(backend_xid), age(backend_xmin)) > age(%(now)s::xid);
