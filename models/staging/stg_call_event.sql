-- A row is an event of a call that has a part in the window. Calls that lie on more than one day come whole, so
-- that a phase that began before the window or ends after it is seen; but for what no contract covers any more, which
-- is as if it had never come.

with days as (
    select * from {{ ref('stg_day') }}
),

events as not materialized (
    select * from {{ source('raw', 'event') }}
),

calls as (
    select * from {{ source('raw', 'call') }}
),

customers as (
    select * from {{ source('registry', 'customer') }}
),

contracts as (
    select * from {{ source('registry', 'kept_contract') }}
),

calls_over_days as (
    select distinct
        calls.customer_id,
        calls.call_key,
        calls.first_at,
        calls.last_at
    from days
    inner join calls
        on days.customer_id = calls.customer_id
        and calls.spans_days
        and days.begins_at <= calls.last_at
        and days.ends_at > calls.first_at
),

-- Day by day, and the other ones call by call: the offsets keep the planner from reading all of the history at once.
of_days as (
    select of_day.*
    from days
    cross join lateral (
        select events.*
        from events
        where
            events.customer_id = days.customer_id
            and events.occurred_at >= days.begins_at
            and events.occurred_at < days.ends_at
            and events.call_key is not null
        offset 0 -- noqa: AM09
    ) as of_day
),

of_calls_over_days as (
    select of_call.*
    from calls_over_days
    cross join lateral (
        select events.*
        from events
        where
            events.customer_id = calls_over_days.customer_id
            and events.call_key = calls_over_days.call_key
            and events.occurred_at >= calls_over_days.first_at
            and events.occurred_at <= calls_over_days.last_at
        offset 0 -- noqa: AM09
    ) as of_call
),

within_a_day as (
    select of_days.*
    from of_days
    left join calls_over_days
        on of_days.customer_id = calls_over_days.customer_id
        and of_days.call_key = calls_over_days.call_key
    where calls_over_days.call_key is null
),

over_days as (
    select events.*
    from of_calls_over_days as events
    inner join customers on events.customer_id = customers.customer_id
    inner join contracts
        on events.customer_id = contracts.customer_id
        and {{ local_date('events.occurred_at', 'customers.time_zone') }} >= contracts.valid_from
        and (
            contracts.valid_until is null
            or {{ local_date('events.occurred_at', 'customers.time_zone') }} < contracts.valid_until
        )
)

select * from within_a_day
union all
select * from over_days
