-- A row is a time on hold in a tangled call.

with talks as (
    select * from {{ ref('int_tangled_talk') }}
),

events as (
    select *
    from {{ ref('int_tangled_event') }}
    where event in ('hold_started', 'hold_ended')
),

-- Holds of the call, whoever is named.
in_turn as (
    {{ number_phases(
        'events',
        name='turn',
        starts="event = 'hold_started'",
        ends="event = 'hold_ended'",
        partition='customer_id, call_key',
        then_by='agent_key, queue',
    ) }}
),

-- Until the next hold begins, the first event that names an agent names it for all that name nobody. So does the first
-- of that agent's that names the queue.
with_agents as (
    select
        *,
        first_value(agent_key) over (
            partition by customer_id, call_key, turn
            order by agent_key is null, moment, event = 'hold_ended', agent_key
        ) as turn_agent_key
    from in_turn
),

with_queues as (
    select
        *,
        first_value(queue) over (
            partition by customer_id, call_key, turn, coalesce(agent_key = turn_agent_key, true)
            order by queue is null, moment, event = 'hold_ended', queue
        ) as turn_queue
    from with_agents
),

with_names as (
    select
        *,
        turn > 0
        and coalesce(agent_key = turn_agent_key, true)
        and coalesce(queue = turn_queue, true) as is_of_turn
    from with_queues
),

named as (
    select
        customer_id,
        call_key,
        case when is_of_turn then turn_queue else queue end as queue,
        case when is_of_turn then turn_agent_key else agent_key end as agent_key,
        event,
        reason,
        occurred_at,
        duration_s,
        moment
    from with_names
),

phases as (
    {{ pair_phases('named', starts='hold_started', ends='hold_ended') }}
),

of_parts as (
    {{ place_in_talk('phases', 'talks') }}
),

holds as (
    select
        customer_id,
        call_key,
        part,
        started_at,
        coalesce(
            ended_at,
            -- Of those that begin in one moment, one without an end is the last.
            lead(started_at) over (partition by customer_id, call_key, part order by moment, ended_at, phase_no)
        ) as ended_at,
        duration_s
    from of_parts
)

select
    holds.customer_id,
    holds.call_key,
    holds.part,
    {{ measured_seconds(
        'holds.duration_s',
        'holds.started_at',
        'coalesce(holds.ended_at, case when talks.released_at > holds.started_at then talks.released_at end)'
    ) }} as hold_s
from holds
inner join talks
    on holds.customer_id = talks.customer_id
    and holds.call_key = talks.call_key
    and holds.part = talks.part
