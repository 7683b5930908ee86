-- A row is a range of opening hours of a weekday or a date.

with hours as (
    select * from {{ source('registry', 'opening_hours') }}
),

queues as (
    select * from {{ source('registry', 'queue') }}
)

select
    hours.customer_id,
    coalesce(queues.queue_key, hours.queue) as queue,
    hours.valid_from,
    hours.valid_until,
    hours.weekday,
    hours.call_date,
    hours.opens,
    hours.closes
from hours
left join queues
    on hours.customer_id = queues.customer_id
    and hours.queue = queues.queue
