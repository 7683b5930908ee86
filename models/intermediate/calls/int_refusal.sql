-- A row is a call that a queue refused.

with events as (
    select * from {{ ref('int_tangled_event') }}
    where event = 'queue_refused'
)

select
    customer_id,
    call_key,
    queue,
    row_number() over (partition by customer_id, call_key, queue order by occurred_at, reason) as refusal_no,
    occurred_at as refused_at,
    reason,
    shows_holds,
    shows_wrapups
from events
