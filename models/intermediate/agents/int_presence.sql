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

-- An end after the phase's end, by whose own measure it began later than that, ends one whose beginning is not shown.
with_ends_before as (
    select
        *,
        max(occurred_at) filter (where {{ ends_presence() }}) over (
            partition by customer_id, agent_key, kind, place, chain_no, phase_no
            order by moment
            range between unbounded preceding and 1 preceding
        ) as ended_before
    from numbered
),

parted as (
    select
        *,
        count(*) filter (
            where {{ ends_presence() }}
            and duration_s > 0
            and occurred_at - {{ seconds_interval('duration_s') }} >= ended_before
        ) over (
            partition by customer_id, agent_key, kind, place, chain_no, phase_no
            order by moment
        ) as ends_unshown
    from with_ends_before
),

phases as (
    select
        customer_id,
        agent_key,
        kind,
        place,
        chain_no,
        phase_no,
        ends_unshown,
        min(time_zone) as time_zone,
        max(known_until) as known_until,
        min(occurred_at) filter (where {{ begins_presence() }}) as came_at,
        min(occurred_at) filter (where {{ ends_presence() }}) as left_at,
        -- The first end counts, with its own measure.
        (
            array_agg(duration_s order by moment, duration_s)
            filter (where {{ ends_presence() }})
        )[1] as duration_s
    from parted
    group by customer_id, agent_key, kind, place, chain_no, phase_no, ends_unshown
),

followed as (
    select
        *,
        lead(came_at) over (
            partition by customer_id, agent_key, kind, place, chain_no
            order by phase_no, ends_unshown
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
