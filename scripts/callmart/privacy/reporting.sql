-- name: tables
-- The tables that have rows of customers, but for those that are of a file, a night or a computation.
select
    c.schema_name || '.' || c.relation_name as table_name,
    array_agg(c.column_name::text)
from access.pointing_column as c
inner join pg_catalog.pg_class as k on c.relation = k.oid and k.relkind in ('r', 'p')
where c.schema_name in ('registry', 'raw', 'store', 'privacy') and c.relation_name not like 'incoming%'
group by c.schema_name, c.relation_name
having bool_or(c.column_name = 'customer_id')
order by table_name;

-- name: zone
-- A customer's time zone; null if it has left, and there are requests of it.
select max(known.time_zone)
from (
    select time_zone from registry.customer
    where customer_id = %(customer)s
    union all
    select null from privacy.request
    where customer_id = %(customer)s
) as known
having count(*) > 0;
