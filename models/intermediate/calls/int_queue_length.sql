-- A row is a queue and a quarter-hour in which a caller joined it, stopped waiting or was refused.

-- Not materialized, as all columns of the visits would be written once more.
with visits as not materialized (
    select * from {{ ref('int_visit') }}
),

refusals as (
    select * from {{ ref('int_refusal') }}
),

days as (
    select * from {{ ref('stg_day') }}
),

steps as (
    select
        customer_id,
        queue,
        began_at as changed_at,
        1 as step
    from visits
    union all
    select
        customer_id,
        queue,
        greatest(wait_ended_at, began_at) as changed_at,
        -1 as step
    from visits
    union all
    select
        customer_id,
        queue,
        refused_at as changed_at,
        0 as step
    from refusals
),

lengths as (
    select
        *,
        -- Of two changes in one moment the leaving comes first: these two callers did not wait at once.
        sum(step) over (
            partition by customer_id, queue order by changed_at, step rows unbounded preceding
        ) as length
    from steps
)

select
    lengths.customer_id,
    days.call_date,
    lengths.queue,
    {{ quarter_hour('lengths.changed_at') }} as interval_start,
    greatest(
        max(lengths.length) filter (where lengths.step >= 0),
        max(lengths.length - lengths.step)
        filter (where lengths.changed_at > {{ quarter_hour('lengths.changed_at') }}),
        -- Who leaves as the quarter-hour begins leaves at once with others who do.
        min(lengths.length)
        filter (where lengths.step < 0 and lengths.changed_at = {{ quarter_hour('lengths.changed_at') }}),
        0
    )::integer as queue_max
from lengths
{{ day_of('lengths', 'lengths.changed_at') }}
group by lengths.customer_id, days.call_date, lengths.queue, {{ quarter_hour('lengths.changed_at') }}
