-- A row is a queue that has thresholds of its own.

select
    customer_id,
    coalesce(queue_key, queue) as queue,
    service_level_s,
    short_abandon_s
from {{ source('registry', 'queue') }}
