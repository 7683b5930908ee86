-- A row is a day of the window and a queue that calls joined on it.

with days as (
    select * from {{ ref('stg_day') }}
    where not is_reached
),

events as (
    select * from {{ ref('stg_event') }}
    where event = 'queue_joined'
)

select
    days.customer_id,
    days.call_date,
    {{ name_shown('events.queue', 'days.customer_id') }} as queue,
    count(distinct events.call_key) as calls_joined
from days
inner join events
    on days.customer_id = events.customer_id
    and days.begins_at <= events.occurred_at
    and days.ends_at > events.occurred_at
group by days.customer_id, days.call_date, events.queue
