-- A row is a queue that has thresholds and a target of its own.

select
    customer_id,
    coalesce(queue_key, queue) as queue,
    service_level_s,
    short_abandon_s,
    service_level_target
from {{ source('registry', 'queue') }}
