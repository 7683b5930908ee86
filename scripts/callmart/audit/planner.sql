-- name: secret
-- A column's most frequent value that only others have and whose next value nobody has, and that next value. Also the
-- greatest value, or null if the asker has it, and the value after it. All within the rows that meet the condition.
with

theirs as materialized (
    select
        m.{name} as value,
        {successor} as following_value,
        count(*) as times
    from {table} as m
    where m.customer_id <> {asker} and m.{name} is not null and {condition}
    group by m.{name}
    order by times desc
    limit 1000
),

edge as (
    select max(m.{name}) as greatest from {table} as m
    where {condition}
)

select
    theirs.value::text,
    theirs.following_value::text,
    case
        when
            not exists (
                select 1 from {table} as m
                where m.customer_id = {asker} and m.{name} = edge.greatest and {condition}
            )
            then edge.greatest::text
    end,
    ({edge_successor})::text
from theirs
cross join edge
where
    not exists (
        select 1 from {table} as m
        where m.customer_id = {asker} and m.{name} = theirs.value and {condition}
    )
    and not exists (
        select 1 from {table} as m
        where m.{name} = theirs.following_value and {condition}
    )
order by theirs.times desc
limit 1;
