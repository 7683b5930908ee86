-- name: own
-- The folder of this database.
select oid::text from pg_catalog.pg_database
where datname = current_database();

-- name: writing
-- A row if another session is in a transaction that has written something.
select pid from pg_catalog.pg_stat_activity
where backend_xid is not null and pid <> pg_backend_pid()
limit 1;

-- name: lost
-- The numbers of files that no table or index has.
select number from unnest(%(numbers)s::oid[]) as number
where pg_catalog.pg_filenode_relation(0, number) is null;
