-- A row is a complete month.

with dirty_days as (
    select * from {{ ref('stg_dirty_day') }}
),

months as (
    select
        first_day::date as month, -- noqa: RF04
        (first_day + interval '1 month')::date as next_month
    from generate_series(
        date_trunc('month', access.retention_floor()::timestamp),
        ops.last_month_over(),
        interval '1 month'
    ) as first_day
)

select
    month,
    next_month
from months
where
    month >= access.retention_floor()
    and not exists (
        select 1
        from dirty_days
        where dirty_days.call_date >= months.month and dirty_days.call_date < months.next_month
    )
