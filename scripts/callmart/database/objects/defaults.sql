-- The functions, views and triggers of the database, and the settings of its tables: everything that can be replaced.
-- All files are applied in one transaction, any number of times. schema.py fills in the words in braces. Tables are in
-- ../migrations.

-- Only the owner may call a function until access.yml grants it.
alter default privileges revoke execute on functions from public;
