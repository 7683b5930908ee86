-- Everything in the database that dbt does not make. All files are applied in one transaction, any number of times.
-- schema.py fills in the words in braces.

-- Only the owner may call a function until access.yml grants it.
alter default privileges revoke execute on functions from public;

create schema if not exists registry;
create schema if not exists raw;
create schema if not exists build;
create schema if not exists store;
create schema if not exists mart;
create schema if not exists usage;
create schema if not exists access;
create schema if not exists ops;
