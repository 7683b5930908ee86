-- name: full
-- Whether one of callmart's schemas has anything in it. Commands that did nothing leave ops.running_now behind.
select count(*) > 0
from pg_catalog.pg_class inner join pg_catalog.pg_namespace on pg_namespace.oid = relnamespace
where nspname = any(%(schemas)s) and pg_class.oid is distinct from to_regclass('ops.running_now');

-- name: marts
-- The tables of marts, with the group that each was made in.
select
    relation::text,
    relnamespace::regnamespace::text,
    relname,
    mart_group
from access.mart inner join pg_catalog.pg_class on pg_class.oid = relation
order by 1;

-- name: unknown_erasures
-- The customers of whom somebody was erased under a key that theirs never was: registry.kept_contract keeps nothing
-- from before that.
select distinct e.customer_id
from privacy.ledger_entry as e
inner join registry.customer as c using (customer_id)
where
    e.kind in ('agent', 'caller')
    and e.key_fingerprint <> c.key_fingerprint
    and not exists (
        select from registry.former_fingerprint as f
        where f.customer_id = e.customer_id and f.key_fingerprint = e.key_fingerprint
    )
order by 1;
