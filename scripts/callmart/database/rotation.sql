-- name: unfinished
-- The rotation that is not finished, and whether a session has the lock that keeps two runs apart.
with locked as (
    select l.relation
    from pg_catalog.pg_locks as l
    inner join pg_catalog.pg_database as d on l.database = d.oid and d.datname = current_database()
    where l.mode = 'ShareUpdateExclusiveLock' and l.granted
)

select
    r.customer_id,
    r.begun_at,
    to_regclass('ops.running_now') in (select locked.relation from locked)
from ops.rotation as r;
