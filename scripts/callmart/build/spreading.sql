-- name: customers
-- The customers of the window.
select distinct customer_id from build."window";

-- name: calls
-- Per customer of the window, how many calls ended on its days, more or less: a day of UTC is near enough. Ordered by
-- a hash, so that customers of one kind do not all fall into one group: every tenth number may be one with a detailed
-- contract, which takes longer.
select
    w.customer_id,
    count(c.call_key)
from build."window" as w
left join raw.call as c
    on w.customer_id = c.customer_id
    and w.call_date <= c.last_at
    and w.call_date + 1 > c.last_at
group by w.customer_id
order by hashint4(w.customer_id);

-- name: columns
-- Of each relation among some names, its columns with their types as DDL, and whether it has a customer.
select
    n.name,
    string_agg(format('%%I %%s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' order by a.attnum),
    bool_or(a.attname = 'customer_id')
from unnest(%(relations)s::text[]) as n (name)
inner join pg_class as c
    on to_regclass(format('%%I.%%I', split_part(n.name, '.', 1), split_part(n.name, '.', 2))) = c.oid
inner join pg_attribute as a on c.oid = a.attrelid and a.attnum > 0 and not a.attisdropped
group by n.name;

-- name: columns_there
-- The columns of a relation with their types, as DDL.
select string_agg(format('%%I %%s', attname, format_type(atttypid, atttypmod)), ', ' order by attnum)
from pg_attribute
where attrelid = %(relation)s::regclass and attnum > 0 and not attisdropped;

-- name: definition
-- A function of ours, as the statement that makes it.
select pg_get_functiondef(p.oid)
from pg_proc as p
inner join pg_namespace as n on p.pronamespace = n.oid
where n.nspname = %(schema)s and p.proname = %(name)s;
