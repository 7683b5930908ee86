-- A row is a queue and a day on which an agent who is left out worked: was rung or connected, or staffed the queue.

with visits as (
    select * from {{ ref('int_visit') }}
),

parts as (
    select * from {{ ref('int_agent_part') }}
    where {{ is_left_out('agent_key') }}
),

rings as (
    select * from {{ ref('int_ring') }}
    where {{ is_left_out('agent_key') }}
),

members as (
    select * from {{ ref('int_member') }}
    where {{ is_left_out('agent_key') }}
),

handled as (
    select
        customer_id,
        call_key,
        queue,
        visit_no
    from parts
    union
    select
        customer_id,
        call_key,
        queue,
        visit_no
    from rings
),

worked as (
    select
        customer_id,
        visits.call_date,
        queue,
        true as has_handled
    from visits
    inner join handled using (customer_id, call_key, queue, visit_no)
    union all
    select
        customer_id,
        call_date,
        queue,
        false as has_handled
    from members
)

select
    customer_id,
    call_date,
    queue,
    bool_or(has_handled) as has_handled,
    bool_or(not has_handled) as has_staffed
from worked
group by customer_id, call_date, queue
