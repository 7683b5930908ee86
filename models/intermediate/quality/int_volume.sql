-- A row is a finished day of the window and a mart that counts its calls.

with days as (
    select * from {{ ref('stg_day') }}
    where not is_reached
),

queue_intervals as (
    select * from {{ ref('queue_interval') }}
),

line_intervals as (
    select * from {{ ref('line_interval') }}
),

computed_queue_intervals as (
    select * from {{ computed('queue_interval') }}
),

computed_line_intervals as (
    select * from {{ computed('line_interval') }}
),

days_over as (
    select
        customer_id,
        call_date
    from days
    where ends_at <= now()
),

counted as (
    select
        customer_id,
        call_date,
        unnest(array['queue_interval', 'line_interval']) as mart
    from days_over
),

weeks_before as (
    select
        days_over.customer_id,
        days_over.call_date,
        days_over.call_date - 7 * weeks.back as day_before
    from days_over
    cross join generate_series(1, 4) as weeks (back)
),

-- Days before that are in the window count as this build computes them, the others as they were opened.
opened_days as (
    select distinct
        weeks_before.customer_id,
        weeks_before.day_before as call_date
    from weeks_before
    left join days
        on weeks_before.customer_id = days.customer_id
        and weeks_before.day_before = days.call_date
    where days.call_date is null
),

facts as (
    select
        customer_id,
        call_date,
        interval_local,
        'queue_interval' as mart,
        offered as calls
    from computed_queue_intervals
    union all
    select
        customer_id,
        call_date,
        interval_local,
        'line_interval' as mart,
        calls_in + calls_out + calls_other as calls
    from computed_line_intervals
    union all
    select
        opened_days.customer_id,
        opened_days.call_date,
        opened.interval_local,
        'queue_interval' as mart,
        opened.offered as calls
    from opened_days
    {{ lookup(
        'opened_days',
        ['queue_intervals.call_date = opened_days.call_date'],
        columns=['interval_local', 'offered'],
        events='queue_intervals'
    ) }} as opened
    union all
    select
        opened_days.customer_id,
        opened_days.call_date,
        opened.interval_local,
        'line_interval' as mart,
        opened.calls_in + opened.calls_out + opened.calls_other as calls
    from opened_days
    {{ lookup(
        'opened_days',
        ['line_intervals.call_date = opened_days.call_date'],
        columns=['interval_local', 'calls_in', 'calls_out', 'calls_other'],
        events='line_intervals'
    ) }} as opened
),

volumes as (
    select
        customer_id,
        call_date,
        mart,
        sum(calls) as calls,
        max(interval_local::time) as until_time
    from facts
    where calls > 0
    group by customer_id, call_date, mart
),

usual as (
    select
        weeks_before.customer_id,
        weeks_before.call_date,
        volumes.mart,
        count(*) as weeks,
        min(volumes.calls) as calls_least,
        max(volumes.calls) as calls_most,
        min(volumes.until_time) as until_earliest
    from weeks_before
    inner join volumes
        on weeks_before.customer_id = volumes.customer_id
        and weeks_before.day_before = volumes.call_date
    group by weeks_before.customer_id, weeks_before.call_date, volumes.mart
)

select
    customer_id,
    call_date,
    mart,
    coalesce(volumes.calls, 0) as calls,
    volumes.until_time,
    usual.weeks,
    usual.calls_least,
    usual.calls_most,
    usual.until_earliest
from counted
inner join usual using (customer_id, call_date, mart)
left join volumes using (customer_id, call_date, mart)
