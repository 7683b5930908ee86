-- One row per login of an agent at a device and local day that it touches, only for days under a detailed contract.

with logins as (
    select
        *,
        least(logged_in_at, began_at) as reported_at
    from {{ ref('int_login') }}
    where not {{ is_left_out('agent_key') }}
),

days as (
    select * from {{ ref('stg_day') }}
    where option = 'detailed'
),

of_days as (
    {{ days_of_phases('logins', 'reported_at', 'ended_at') }}
),

-- By the source's own measure a login can begin days after it was reported. Its own day shows it all the same, without
-- any time.
touched as (
    select
        *,
        case when began_at < ends_at then began_at else logged_in_at end as begun_at,
        case when began_at < ends_at then until_moment else logged_in_at end as gone_at
    from of_days
    where began_at < ends_at or logged_in_at >= begins_at
),

numbered as (
    select
        *,
        -- On later days the time of the login would stay visible after its own day has expired.
        case when logged_in_at >= begins_at then logged_in_at end as shown_login_at,
        row_number() over (
            partition by customer_id, call_date, agent_key
            order by
                case when logged_in_at >= begins_at then logged_in_at else begun_at end,
                ended_at,
                device_key
        ) as session_no,
        row_number() over (
            partition by customer_id, call_date, agent_key
            order by gone_at desc, begun_at desc, device_key desc
        ) as nth_last
    from touched
)

select
    customer_id,
    call_date,
    agent_key,
    session_no::integer as session_no,
    device_key,
    shown_login_at as logged_in_at,
    shown_login_at at time zone time_zone as logged_in_local,
    logged_out_at,
    logged_out_at at time zone time_zone as logged_out_local,
    case
        when has_length
            then
                {{ whole_seconds(seconds_between('begun_at', 'gone_at')) }}
                - {{ whole_seconds(seconds_between('begun_at', 'greatest(begun_at, begins_at)')) }}
    end::integer as seconds,
    coalesce(logged_in_at >= begins_at and logged_in_at < ends_at, false)::integer as logins,
    session_no = 1 as is_first,
    nth_last = 1 as is_last
from numbered
