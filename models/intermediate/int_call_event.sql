-- A row is an event of a call, with its place in the call: its moment (events of one moment have no order) and the
-- visit to its queue that it belongs to, counted from 1; 0 where the source never said that the call joined.

with events as (
    select * from {{ ref('stg_call_event') }}
),

ordered as (
    select
        customer_id,
        call_key,
        queue,
        agent_key,
        event,
        reason,
        occurred_at,
        duration_s,
        wait_s,
        dense_rank() over (
            partition by customer_id, call_key
            order by occurred_at, case when line_number is not null then file_id end, line_number
        ) as moment
    from events
    where event in (
        'queue_joined', 'queue_left', 'queue_refused', 'ring_started', 'ring_ended', 'agent_connected',
        'agent_released'
    )
),

numbered as (
    {{ number_phases(
        'ordered',
        name='visits_begun',
        starts="event = 'queue_joined'",
        ends="event in ('queue_left', 'agent_released')",
        partition='customer_id, call_key, queue',
    ) }}
),

placed as (
    select
        *,
        min(moment) filter (where event = 'queue_joined') over visits_of_queue as first_joined,
        min(moment) filter (where event in ('queue_left', 'agent_released')) over visits_of_queue as first_ended
    from numbered
    window visits_of_queue as (partition by customer_id, call_key, queue)
)

select
    customer_id,
    call_key,
    queue,
    agent_key,
    event,
    reason,
    occurred_at,
    duration_s,
    wait_s,
    moment,
    -- What comes before the call joined belongs to that visit (a connection can be written first), unless it had an
    -- end of its own: then it is a visit whose beginning the source did not show.
    case
        when visits_begun = 0 and (first_ended is null or first_ended >= first_joined) then 1
        else visits_begun
    end as visit_no
from placed
