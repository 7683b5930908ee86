-- A row is a local day of an agent, under a detailed contract only: its quarter-hours together.

with intervals as (
    select * from {{ computed('agent_interval') }}
)

select
    customer_id,
    call_date,
    agent_key,
    sum(contacts)::integer as contacts,
    sum(outbound_calls)::integer as outbound_calls,
    sum(rings)::integer as rings,
    sum(rings_unanswered)::integer as rings_unanswered,
    sum(ring_s)::integer as ring_s,
    sum(talk_s)::integer as talk_s,
    sum(holds)::integer as holds,
    sum(hold_s)::integer as hold_s,
    sum(wrapup_s)::integer as wrapup_s,
    sum(transfers)::integer as transfers
from intervals
group by customer_id, call_date, agent_key
