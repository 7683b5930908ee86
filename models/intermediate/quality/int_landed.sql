-- A row is a day of the window, and a queue that calls joined on it by the events as they landed. Only the quality
-- checks read it, to find what the marts have lost.

with days as (
    select * from {{ ref('stg_day') }}
),

computed_days as (
    select * from {{ source('build', 'window') }}
    where not reached
),

events as (
    select * from {{ source('raw', 'event') }}
    where event = 'queue_joined'
)

select
    days.customer_id,
    days.call_date,
    events.queue,
    count(distinct events.call_key) as calls_joined
from days
inner join computed_days
    on days.customer_id = computed_days.customer_id
    and days.call_date = computed_days.call_date
inner join events
    on days.customer_id = events.customer_id
    and days.begins_at <= events.occurred_at
    and days.ends_at > events.occurred_at
group by days.customer_id, days.call_date, events.queue
