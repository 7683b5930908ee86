-- A row is a queue and a day on which an erased agent was rung or connected.

with visits as (
    select * from {{ ref('int_visit') }}
),

parts as (
    select * from {{ ref('int_agent_part') }}
    where {{ is_erased('agent_key') }}
),

rings as (
    select * from {{ ref('int_ring') }}
    where {{ is_erased('agent_key') }}
),

worked as (
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
)

select distinct
    customer_id,
    visits.call_date,
    queue
from visits
inner join worked using (customer_id, call_key, queue, visit_no)
