-- name: columns
-- The columns of a relation that are also columns of the mart's table, without the day; and whether they can be null.
select
    v.attname,
    format_type(v.atttypid, v.atttypmod),
    not t.attnotnull
from pg_attribute as v
inner join pg_attribute as t using (attname, atttypid)
where
    v.attrelid = %(relation)s::regclass
    and t.attrelid = %(table)s::regclass
    and v.attnum > 0
    and v.attname <> %(day)s
order by v.attnum;
