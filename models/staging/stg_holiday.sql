-- A row is a day on which a queue is closed, whatever its weekday says.

with holidays as (
    select * from {{ source('registry', 'holiday') }}
),

queues as (
    select * from {{ source('registry', 'queue') }}
)

select
    holidays.customer_id,
    coalesce(queues.queue_key, holidays.queue) as queue,
    holidays.call_date
from holidays
left join queues
    on holidays.customer_id = queues.customer_id
    and holidays.queue = queues.queue
