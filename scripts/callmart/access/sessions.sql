-- name: in_the_way
-- The sessions that have blocked a session of the owner for longer than `patience`.
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
    and waiting.usename = current_user
    and waiting.datname = current_database();
