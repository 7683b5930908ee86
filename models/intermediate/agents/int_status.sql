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

followed as (
    select
        *,
        lag(status) over timeline as latest_status,
        lag(occurred_at) over timeline as latest_at
    from settled
    window timeline as (
        partition by customer_id, agent_key
        order by occurred_at, file_id, line_number
    )
),

-- The status before, unless it was over by then: a status lasts 31 days at most. The source's own measure ends it, but
-- no later than this one begins. A measure that comes after the status was over is not used.
with_before as (
    select
        *,
        case when latest_at >= occurred_at - {{ longest_phase() }} then latest_status end as status_before,
        least(
            occurred_at,
            case
                when latest_at >= occurred_at - {{ longest_phase() }}
                    then latest_at + {{ seconds_interval('duration_s') }}
            end,
            latest_at + {{ longest_phase() }},
            known_until
        ) as before_ended_at
    from followed
),

stretches as (
    select
        *,
        status_before is null
        or status <> status_before
        or cardinality(statuses) > 1 as is_entered,
        max(occurred_at) over (partition by customer_id, agent_key) as last_at
    from with_before
),

phases as (
    select
        *,
        coalesce(
            lead(before_ended_at) over timeline,
            least(last_at + {{ longest_phase() }}, known_until)
        ) as ended_at
    from stretches
    where is_entered or before_ended_at < occurred_at
    window timeline as (
        partition by customer_id, agent_key
        order by occurred_at, file_id, line_number
    )
),

-- The other statuses of a moment are over in it.
each_status as (
    select
        *,
        unnest(statuses) as one_status
    from phases
)

select
    customer_id,
    agent_key,
    one_status as status,
    occurred_at as started_at,
    case when one_status = status then ended_at else occurred_at end as ended_at,
    is_entered
from each_status
where one_status = status or one_status is distinct from status_before
