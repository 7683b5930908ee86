-- name: persons
-- The columns of marts that point to persons.
select
    relation_name,
    column_name
from access.pointing_column
where schema_name = 'store' and not persons <@ array['nobody'];

-- name: without_customers
-- Tables of marts and statistics in which no row is a customer's.
select nspname || '.' || relname
from pg_class
inner join pg_namespace on pg_namespace.oid = relnamespace
where
    nspname in ('store', 'usage')
    and relkind in ('r', 'p')
    and not exists (
        select 1 from pg_attribute
        where attrelid = pg_class.oid and attname = 'customer_id' and not attisdropped
    )
order by 1;
