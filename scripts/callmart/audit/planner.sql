-- name: secret
-- Of the values of a column that only others have the most frequent one, and the value after it, which nobody has; and
-- the greatest value, unless the asker has it, with the value after that. All among the rows that meet the condition.
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
                select from {table} as m
                where m.customer_id = {asker} and m.{name} = edge.greatest and {condition}
            )
            then edge.greatest::text
    end,
    ({edge_successor})::text
from theirs
cross join edge
where
    not exists (
        select from {table} as m
        where m.customer_id = {asker} and m.{name} = theirs.value and {condition}
    )
    and not exists (
        select from {table} as m
        where m.{name} = theirs.following_value and {condition}
    )
order by theirs.times desc
limit 1;
