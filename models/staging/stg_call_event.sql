-- A row is an event of a call with a part in the window.

with days as (
    select * from {{ ref('stg_day') }}
),

events as not materialized (
    select * from {{ ref('stg_event') }}
),

calls as (
    select * from {{ source('raw', 'call') }}
),

customers as (
    select * from {{ ref('stg_customer') }}
),

contracts as (
    select * from {{ ref('stg_contract') }}
),

objectors as (
    select * from {{ ref('stg_objector') }}
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

of_days as (
    select of_day.*
    from days
    {{ lookup('days', [
        'events.occurred_at >= days.begins_at',
        'events.occurred_at < days.ends_at',
        'events.call_key is not null',
    ]) }} as of_day
),

of_calls_over_days as (
    select of_call.*
    from calls_over_days
    {{ lookup('calls_over_days', [
        'events.call_key = calls_over_days.call_key',
        'events.occurred_at >= calls_over_days.first_at',
        'events.occurred_at <= calls_over_days.last_at',
    ]) }} as of_call
),

-- A call over days has events before or after the days, too.
around_days as (
    select events.*
    from of_calls_over_days as events
    inner join customers on events.customer_id = customers.customer_id
    inner join contracts
        on events.customer_id = contracts.customer_id
        and {{ contract_keeps(local_date('events.occurred_at', 'customers.time_zone')) }}
    left join days
        on events.customer_id = days.customer_id
        and events.occurred_at >= days.begins_at
        and events.occurred_at < days.ends_at
    where days.customer_id is null
),

found as (
    select * from of_days
    union all
    select * from around_days
)

select
    found.customer_id,
    found.occurred_at,
    found.platform,
    found.event,
    found.file_id,
    found.line_number,
    found.call_key,
    found.queue,
    {{ agent_key_shown('found') }} as agent_key,
    found.number_key,
    found.number_withheld,
    found.line,
    found.direction,
    found.reason,
    found.target_kind,
    found.duration_s,
    found.wait_s
from found
{{ objector_of('found') }}
