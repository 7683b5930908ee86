-- name: marts
-- The marts' tables: name, group of the policy, key, day, and columns with their types.
with key_column as (
    select
        indrelid as relation,
        attname,
        atttypid,
        array_position(indkey::smallint[], attnum) as place
    from pg_index inner join pg_attribute on attrelid = indrelid and attnum = any(indkey)
    where indisprimary
)

select
    c.relname,
    (
        select substring(rolname from '_([a-z]+)$')
        from pg_policy inner join pg_roles on pg_roles.oid = any(polroles)
        where polrelid = c.oid and polname = 'own_rows'
    ),
    array(
        select attname::text from key_column
        where relation = c.oid
        order by place
    ),
    coalesce(
        (
            select attname
            from pg_partitioned_table inner join pg_attribute on attrelid = partrelid and attnum = partattrs[0]
            where partrelid = c.oid and partstrat = 'r' and atttypid = 'date'::regtype
        ),
        (
            select min(attname::text) from key_column
            where relation = c.oid and atttypid = 'date'::regtype
            having count(*) = 1
        )
    ),
    array(
        select array[attname::text, format_type(atttypid, atttypmod)] from pg_attribute
        where attrelid = c.oid and attnum > 0 and not attisdropped
        order by attnum
    )
from pg_class as c
where relnamespace = %(schema)s::regnamespace and relkind in ('r', 'p') and not relispartition
order by c.relname;
