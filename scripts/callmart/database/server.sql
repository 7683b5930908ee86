-- name: owner
-- Whether no policy binds the current user, what it may make, and whether a setting keeps it from working.
select
    rolsuper or rolbypassrls,
    rolcreaterole,
    has_database_privilege(current_database(), 'create'),
    current_setting('row_security') = 'off'
    or current_setting('default_transaction_read_only') = 'on'
    or pg_is_in_recovery()
from pg_roles
where rolname = current_user;

-- name: hindering
-- A setting that keeps the current user from working, and how to take it away. It is asked only where there is one:
-- pg_settings writes down all settings.
select
    name,
    setting,
    case
        when name = 'in_hot_standby' then 'name the primary server in CALLMART_DSN'
        when source = 'global' then 'have a superuser run alter role all reset ' || name
        when source = 'database' then format('run alter database %I reset %s', current_database(), name)
        when source = 'user' then format('run alter role %I reset %s', current_user, name)
        when source = 'database user'
            then format('run alter role %I in database %I reset %s', current_user, current_database(), name)
        when source = 'client' then 'take it out of the options in CALLMART_DSN'
        else 'correct the server''s configuration, and reload it'
    end
from pg_settings
where (name, setting) in (('row_security', 'off'), ('default_transaction_read_only', 'on'), ('in_hot_standby', 'on'))
order by name;
