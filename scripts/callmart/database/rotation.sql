-- name: unfinished
-- The rotation that is not finished, and whether a session has the lock that keeps two runs apart.
select
    r.customer_id,
    r.begun_at,
    exists (
        select from pg_catalog.pg_locks as l
        inner join pg_catalog.pg_database as d on l.database = d.oid and d.datname = current_database()
        where l.relation = to_regclass('ops.running_now') and l.mode = 'ExclusiveLock' and l.granted
    )
from ops.rotation as r;
