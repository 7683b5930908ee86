-- A row is an event as it was landed.

select
    customer_id,
    occurred_at,
    event_key,
    ordinal,
    platform,
    event,
    file_id,
    line_number,
    call_key,
    queue,
    agent_key,
    number_key,
    number_withheld,
    line, -- noqa: RF04
    device_key,
    direction,
    reason,
    target_kind,
    duration_s,
    wait_s
from {{ source('raw', 'event') }}
