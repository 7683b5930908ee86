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

-- Who leaves in one moment leaves at once, and before others join: these callers did not wait at once.
lengths as (
    select
        customer_id,
        queue,
        changed_at,
        sum(step) as changed_by,
        sum(sum(step)) over (partition by customer_id, queue order by changed_at, step) as length
    from steps
    group by customer_id, queue, changed_at, step
)

select
    lengths.customer_id,
    days.call_date,
    lengths.queue,
    {{ quarter_hour('lengths.changed_at') }} as interval_start,
    greatest(
        max(lengths.length),
        max(lengths.length - lengths.changed_by)
        filter (where lengths.changed_at > {{ quarter_hour('lengths.changed_at') }}),
        0
    )::integer as queue_max
from lengths
{{ day_of('lengths', 'lengths.changed_at') }}
group by lengths.customer_id, days.call_date, lengths.queue, {{ quarter_hour('lengths.changed_at') }}
