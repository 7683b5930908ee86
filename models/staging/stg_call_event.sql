-- A row is an event of a call that has a part in the window. Calls that lie on more than one day come whole, so
-- that a phase that began before the window or ends after it is seen.

with days as (
    select * from {{ ref('stg_day') }}
),

events as (
    select * from {{ source('raw', 'event') }}
),

spanning_calls as (
    select * from {{ source('raw', 'spanning_call') }}
),

spanning_in_window as (
    select distinct
        spanning_calls.customer_id,
        spanning_calls.platform,
        spanning_calls.call_id,
        spanning_calls.first_day,
        spanning_calls.last_day
    from spanning_calls
    inner join days
        on spanning_calls.customer_id = days.customer_id
        and days.call_date between spanning_calls.first_day and spanning_calls.last_day
),

within_a_day as (
    select events.*
    from days
    inner join events
        on days.customer_id = events.customer_id
        and events.occurred_at >= days.begins_at
        and events.occurred_at < days.ends_at
    where
        events.call_id is not null
        and not exists (
            select
            from spanning_in_window
            where
                events.customer_id = spanning_in_window.customer_id
                and events.platform = spanning_in_window.platform
                and events.call_id = spanning_in_window.call_id
        )
),

over_days as (
    select events.*
    from spanning_in_window
    inner join events
        on spanning_in_window.customer_id = events.customer_id
        and spanning_in_window.platform = events.platform
        and spanning_in_window.call_id = events.call_id
        -- A day to spare on both sides, for any time zone; it lets the planner prune.
        and events.occurred_at >= spanning_in_window.first_day - interval '1 day'
        and events.occurred_at < spanning_in_window.last_day + interval '2 days'
)

select * from within_a_day
union all
select * from over_days
