-- A row is an event of a call that has a part in the window. Calls that lie on more than one day come whole, so
-- that a phase that began before the window or ends after it is seen; but for what no contract covers any more, which
-- is as if it had never come.

with days as (
    select * from {{ ref('stg_day') }}
),

-- Read twice, by its index each time.
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

within_a_day as (
    select events.*
    from days
    inner join events
        on days.customer_id = events.customer_id
        and days.begins_at <= events.occurred_at
        and days.ends_at > events.occurred_at
    left join calls_over_days
        on events.customer_id = calls_over_days.customer_id
        and events.call_key = calls_over_days.call_key
    where
        events.call_key is not null
        and calls_over_days.call_key is null
),

over_days as (
    select events.*
    from calls_over_days
    inner join events
        on calls_over_days.customer_id = events.customer_id
        and calls_over_days.call_key = events.call_key
        and calls_over_days.first_at <= events.occurred_at
        and calls_over_days.last_at >= events.occurred_at
    inner join customers on calls_over_days.customer_id = customers.customer_id
    inner join contracts
        on calls_over_days.customer_id = contracts.customer_id
        and {{ local_date('events.occurred_at', 'customers.time_zone') }} >= contracts.valid_from
        and (
            contracts.valid_until is null
            or {{ local_date('events.occurred_at', 'customers.time_zone') }} < contracts.valid_until
        )
)

select * from within_a_day
union all
select * from over_days
