-- One row per status that an agent had in a quarter-hour, only for days under a detailed contract.

with phases as (
    select * from {{ ref('int_status') }}
    where not {{ is_left_out('agent_key') }}
),

open_quarters as (
    select * from {{ ref('int_open_quarter') }}
),

days as (
    select * from {{ ref('stg_day') }}
    where option = 'detailed'
),

of_days as (
    {{ days_of_phases('phases', 'started_at', 'ended_at') }}
),

parts as (
    select
        of_days.customer_id,
        of_days.call_date,
        of_days.agent_key,
        quarter_hours.interval_start,
        of_days.time_zone,
        of_days.status,
        {{ seconds_in_quarter_hour('of_days.started_at', 'of_days.until_moment') }} as seconds,
        of_days.is_entered and of_days.started_at >= quarter_hours.interval_start as is_entered
    from of_days
    cross join lateral {{ quarter_hours('of_days.from_moment', 'of_days.until_moment') }}
),

-- A phase that only goes on here, and rounds to 0 seconds, has no row.
summed as (
    select
        customer_id,
        call_date,
        agent_key,
        interval_start,
        interval_start at time zone min(time_zone) as interval_local,
        status,
        sum(seconds)::integer as seconds,
        count(*) filter (where is_entered)::integer as times_entered
    from parts
    group by customer_id, call_date, agent_key, interval_start, status
    having sum(seconds) > 0 or bool_or(is_entered)
)

select
    summed.*,
    of_all.is_open as open
from summed
{{ opening('summed') }}
