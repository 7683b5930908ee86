-- A row is a quarter-hour in which agents staffed a queue.

with members as (
    select * from {{ ref('int_member') }}
)

select
    customer_id,
    call_date,
    queue,
    interval_start,
    sum(member_s)::integer as staffed_s
from members
group by customer_id, call_date, queue, interval_start
