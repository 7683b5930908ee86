-- name: sessions
-- How many sessions the server has for logins without powers.
select
    current_setting('max_connections')::integer
    - current_setting('superuser_reserved_connections')::integer
    - current_setting('reserved_connections')::integer;
