-- name: sessions
-- The number of sessions that the server has for ordinary logins.
select
    current_setting('max_connections')::integer
    - current_setting('superuser_reserved_connections')::integer
    - current_setting('reserved_connections')::integer;
