-- One row per line and quarter-hour in which a call started or went on.

with calls as (
    select * from {{ ref('int_line_call') }}
),

lines as (
    select * from {{ ref('stg_line') }}
),

open_quarters as (
    select * from {{ ref('int_open_quarter') }}
),

days as (
    select * from {{ ref('stg_day') }}
),

of_days as (
    {{ days_of_phases('calls', 'started_at', 'occupied_until') }}
),

parts as (
    select
        of_days.*,
        quarter_hours.interval_start,
        of_days.started_at >= quarter_hours.interval_start as starts_here
    from of_days
    cross join lateral {{ quarter_hours('of_days.from_moment', 'of_days.until_moment') }}
),

-- +1 where a call begins in the quarter-hour, -1 where it ends. At one moment ends go first: a call that begins as
-- another one ends takes its place. A call without length lasts a microsecond.
steps as (
    select
        parts.*,
        step.change,
        sum(step.change) over (
            partition by
                parts.customer_id, parts.call_date, parts.platform, parts.line, parts.interval_start
            order by step.at_moment, step.change
        ) as at_once
    from parts
    cross join lateral (
        values
        (greatest(parts.started_at, parts.interval_start), 1),
        (greatest(parts.until_moment, parts.started_at + interval '1 microsecond'), -1)
    ) as step (at_moment, change)
),

-- Each call has one step up in each quarter-hour. The call is counted in the quarter-hour in which it started.
counted as (
    select
        *,
        change = 1 and starts_here as is_counted
    from steps
),

summed as (
    select
        customer_id,
        call_date,
        platform,
        {{ name_shown('line') }} as line, -- noqa: RF04
        interval_start,
        interval_start at time zone min(time_zone) as interval_local,
        (count(*) filter (where is_counted and direction = 'inbound'))::integer as calls_in,
        (count(*) filter (where is_counted and direction = 'outbound'))::integer as calls_out,
        (count(*) filter (where is_counted and direction not in ('inbound', 'outbound')))::integer as calls_other,
        (count(*) filter (where is_counted and outcome = 'answered'))::integer as answered,
        (count(*) filter (where is_counted and outcome = 'busy'))::integer as busy,
        {{ whole_sum(
            'coalesce(sum(' ~ whole_seconds('talk_s') ~ ') filter (where is_counted), 0)'
        ) }} as talk_s,
        {{ whole_sum(
            'coalesce(sum(' ~ whole_seconds('ring_s') ~ ') filter (where is_counted), 0)'
        ) }} as ring_s,
        max(at_once)::integer as peak_calls
    from counted
    group by customer_id, call_date, platform, line, interval_start
)

select
    summed.*,
    lines.channels,
    of_all.is_open as open
from summed
left join lines
    on summed.customer_id = lines.customer_id
    and summed.line = lines.line
{{ opening('summed') }}
