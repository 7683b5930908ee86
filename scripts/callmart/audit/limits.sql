-- name: sessions
-- The number of sessions that the server has for ordinary logins.
select
    current_setting('max_connections')::integer
    - current_setting('superuser_reserved_connections')::integer
    - current_setting('reserved_connections')::integer;

-- name: elsewhere
-- The logins that may connect to databases beside this one. What everybody may, those in `of_all` show for all.
select
    r.rolname,
    d.datname
from pg_roles as r
cross join pg_database as d
where
    r.rolname = any(%(logins)s)
    and d.datname <> current_database()
    and d.datallowconn
    and has_database_privilege(r.oid, d.oid, 'connect')
    and (r.rolname = any(%(of_all)s) or not has_database_privilege('public', d.oid, 'connect'))
order by d.datname, r.rolname;
