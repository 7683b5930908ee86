-- A row is a phase of an agent: a status, from being entered until the next one.

with events as (
    select * from {{ ref('stg_agent_event') }}
    where kind = 'status'
),

moments as (
    select
        customer_id,
        agent_key,
        known_until,
        occurred_at,
        case when line_number is not null then file_id end as file_id,
        line_number,
        array_agg(distinct reason) as statuses,
        min(duration_s) as duration_s
    from events
    group by
        customer_id, agent_key, occurred_at, case when line_number is not null then file_id end, line_number,
        known_until
),

-- Statuses of one moment have no order. The one that usually comes last holds from then on.
settled as (
    select
        *,
        case
            when cardinality(statuses) = 1 then statuses[1]
            when statuses && array['away', 'break', 'other', 'training']
                then (
                    select max(entered.status) from unnest(statuses) as entered (status)
                    where entered.status not in ('available', 'in_call', 'wrap_up')
                )
            when statuses @> array['in_call', 'wrap_up'] then 'wrap_up'
            when statuses @> array['available', 'in_call'] then 'in_call'
            else statuses[1]
        end as status
    from moments
),

-- The status after, and the one before unless it was over by then: a status lasts 31 days at most.
with_neighbours as (
    select
        *,
        case
            when lag(occurred_at) over timeline >= occurred_at - {{ longest_phase() }} then lag(status) over timeline
        end as status_before,
        lead(occurred_at) over timeline as next_at,
        lead(duration_s) over timeline as next_duration_s
    from settled
    window timeline as (
        partition by customer_id, agent_key
        order by occurred_at, file_id, line_number
    )
),

-- The source's own measure ends a status, but no later than the next one begins. A measure that comes after the status
-- was over is not used.
stretches as (
    select
        *,
        status_before is null
        or status <> status_before
        or cardinality(statuses) > 1 as is_entered,
        least(
            next_at,
            case
                when next_at <= occurred_at + {{ longest_phase() }}
                    then occurred_at + {{ seconds_interval('next_duration_s') }}
            end,
            occurred_at + {{ longest_phase() }},
            known_until
        ) as ended_at
    from with_neighbours
),

numbered as (
    select
        *,
        count(*) filter (where is_entered or resumes) over (
            partition by customer_id, agent_key
            order by occurred_at, file_id, line_number
        ) as phase_no
    from (
        select
            *,
            lag(ended_at) over (
                partition by customer_id, agent_key
                order by occurred_at, file_id, line_number
            ) < occurred_at as resumes
        from stretches
    ) as followed
)

select
    customer_id,
    agent_key,
    min(status) as status,
    min(occurred_at) as started_at,
    max(ended_at) as ended_at,
    bool_or(is_entered) as is_entered
from numbered
group by customer_id, agent_key, phase_no
union all
select
    with_neighbours.customer_id,
    with_neighbours.agent_key,
    entered.status,
    with_neighbours.occurred_at as started_at,
    with_neighbours.occurred_at as ended_at,
    true as is_entered
from with_neighbours
cross join lateral unnest(with_neighbours.statuses) as entered (status)
where
    cardinality(with_neighbours.statuses) > 1
    and entered.status <> with_neighbours.status
    and entered.status is distinct from with_neighbours.status_before
