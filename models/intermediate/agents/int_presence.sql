-- A row is a time in which an agent was present: logged in at a device, or a member of a queue.

with events as (
    select * from {{ ref('stg_agent_event') }}
    where kind in ('login', 'membership')
),

chained as (
    {{ number_chains('events', partition='customer_id, agent_key, kind, place', longest=longest_phase()) }}
),

numbered as (
    {{ number_phases(
        'chained',
        name='phase_no',
        starts=begins_presence(),
        ends=ends_presence(),
        partition='customer_id, agent_key, kind, place, chain_no',
    ) }}
),

parted as (
    {{ number_measured_ends(
        'numbered',
        ends=ends_presence(),
        partition='customer_id, agent_key, kind, place, chain_no, phase_no',
    ) }}
),

phases as (
    select
        customer_id,
        agent_key,
        kind,
        place,
        chain_no,
        phase_no,
        end_no,
        min(time_zone) as time_zone,
        max(known_until) as known_until,
        min(occurred_at) filter (where {{ begins_presence() }}) as came_at,
        min(occurred_at) filter (where {{ ends_presence() }}) as left_at,
        -- The first end counts, with its own measure.
        {{ first_measure(ends_presence()) }} as duration_s
    from parted
    group by customer_id, agent_key, kind, place, chain_no, phase_no, end_no
),

followed as (
    select
        *,
        lead(came_at) over (
            partition by customer_id, agent_key, kind, place, chain_no
            order by phase_no, end_no
        ) as next_came_at
    from phases
)

select
    customer_id,
    agent_key,
    kind,
    place,
    came_at,
    left_at,
    -- The source's own measure wins. It is counted back from the end, but not into a day before the beginning.
    case
        when left_at is null or duration_s is null then coalesce(came_at, left_at)
        else greatest(
            left_at - least({{ seconds_interval('duration_s') }}, {{ longest_phase() }}),
            {{ begin_of_day(local_date('came_at')) }}
        )
    end as began_at,
    coalesce(left_at, least(next_came_at, came_at + {{ longest_phase() }}, known_until)) as ended_at,
    came_at is not null or duration_s is not null as has_length
from followed
-- Two beginnings in one moment are one.
where left_at is not null or next_came_at is null or next_came_at > came_at
