-- A row is a queue and a quarter-hour in which a caller joined it, stopped waiting or was refused.

-- Not materialized, as all columns of the visits would be written once more.
with visits as not materialized (
    select * from {{ ref('int_visit') }}
),

refusals as (
    select * from {{ ref('int_refusal') }}
),

customers as (
    select * from {{ ref('stg_customer') }}
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
),

longest as (
    select
        customer_id,
        queue,
        {{ quarter_hour('changed_at') }} as interval_start,
        greatest(
            max(length) filter (where step >= 0),
            max(length - step) filter (where changed_at > {{ quarter_hour('changed_at') }}),
            -- Who leaves as the quarter-hour begins leaves at once with others who do.
            min(length) filter (where step < 0 and changed_at = {{ quarter_hour('changed_at') }}),
            0
        )::integer as queue_max
    from lengths
    group by customer_id, queue, {{ quarter_hour('changed_at') }}
)

select
    longest.customer_id,
    {{ local_date('longest.interval_start', 'customers.time_zone') }} as call_date,
    longest.queue,
    longest.interval_start,
    longest.queue_max
from longest
inner join customers on longest.customer_id = customers.customer_id
