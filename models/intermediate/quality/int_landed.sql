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
    {{ name_shown('of_day.queue', 'days.customer_id') }} as queue,
    count(distinct of_day.call_key) as calls_joined
from days
{{ lookup('days', [
    'events.occurred_at >= days.begins_at',
    'events.occurred_at < days.ends_at',
], columns=['queue', 'call_key']) }} as of_day
group by days.customer_id, days.call_date, of_day.queue
