-- Everything in the database that dbt does not make: applied whole, in one transaction, as often as one likes.
-- What stands in braces is filled in by schema.py.

-- A function is nobody's but its owner's until access.yml gives it.
alter default privileges revoke execute on functions from public;

create schema if not exists registry;
create schema if not exists raw;
create schema if not exists build;
create schema if not exists store;
create schema if not exists mart;
create schema if not exists usage;
create schema if not exists access;
create schema if not exists ops;
