-- What there is of a person, for the person to see.

-- name: tables
-- All columns of each table that has some that point to a person, with their types and whom they point to.
select
    c.schema_name || '.' || c.relation_name as table_name,
    array_agg(c.column_name::text order by a.attnum),
    array_agg(c.data_type order by a.attnum),
    coalesce(
        jsonb_object_agg(c.column_name, to_jsonb(c.persons) order by a.attnum) filter (where c.persons is not null),
        '{}'
    )
from access.pointing_column as c
inner join pg_catalog.pg_class as k on c.relation = k.oid and k.relkind in ('r', 'p', 'm', 'f')
inner join pg_catalog.pg_attribute as a on c.relation = a.attrelid and c.column_name = a.attname
group by c.schema_name, c.relation_name
having bool_or(c.persons && %(of_persons)s)
order by table_name;

-- name: calls
-- The calls of a caller that nobody else called in, or was called in.
with own as (
    select distinct call_key from raw.event
    where
        customer_id = %(customer)s and number_key = any(%(keys)s) and call_key is not null
        and occurred_at < %(until)s
)

select c.call_key
from own
inner join raw.call as c on own.call_key = c.call_key and c.customer_id = %(customer)s
where
    not exists (
        select 1 from raw.event as e
        where
            e.customer_id = %(customer)s
            and e.call_key = c.call_key
            and e.occurred_at between c.first_at and c.last_at
            and e.number_key <> all(%(keys)s)
    );

-- name: devices
-- The devices that no other agent used.
select e.device_key
from raw.event as e
where
    e.customer_id = %(customer)s
    and e.device_key in (
        select used.device_key from raw.event as used
        where used.customer_id = %(customer)s and used.agent_key = any(%(keys)s)
    )
group by e.device_key
having bool_and(e.agent_key is null or e.agent_key = any(%(keys)s));

-- name: customer
select
    name,
    time_zone
from registry.customer
where customer_id = %(customer)s;
