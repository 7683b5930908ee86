-- A row is a local day on which an agent was logged in, under a detailed contract only.

with logins as (
    select * from {{ ref('int_login') }}
),

phases as (
    select * from {{ ref('int_status') }}
),

days as (
    select * from {{ ref('stg_day') }}
    where option = 'detailed'
),

-- By the source's own measure a login can begin days after it was reported. On its own day it has 0 seconds then.
reported as (
    select
        customer_id,
        agent_key,
        began_at,
        ended_at,
        has_length
    from logins
    union all
    select
        customer_id,
        agent_key,
        logged_in_at as began_at,
        logged_in_at as ended_at,
        has_length
    from logins
    where logged_in_at < began_at
),

days_of_logins as (
    {{ days_of_phases('reported', 'began_at', 'ended_at') }}
),

days_of_statuses as (
    {{ days_of_phases('phases', 'started_at', 'ended_at') }}
),

logged_in as (
    select
        customer_id,
        call_date,
        agent_key,
        range_agg(tstzrange(from_moment, until_moment)) as times,
        bool_and(has_length) as is_known
    from days_of_logins
    group by customer_id, call_date, agent_key
),

not_ready as (
    select
        customer_id,
        call_date,
        agent_key,
        coalesce(
            range_agg(tstzrange(from_moment, until_moment)) filter (
                where status in ('break', 'away', 'training', 'other')
            ),
            '{}'
        ) as times
    from days_of_statuses
    group by customer_id, call_date, agent_key
)

-- A day is rounded once, as a whole. So it does not matter where its logins and statuses began outside the window.
select
    customer_id,
    call_date,
    agent_key,
    case when logged_in.is_known then {{ whole_seconds(seconds_in('logged_in.times')) }} end as logged_in_s,
    case
        when logged_in.is_known and not_ready.times is not null
            then {{ whole_seconds(seconds_in('logged_in.times - not_ready.times')) }}
    end as ready_s
from logged_in
left join not_ready using (customer_id, call_date, agent_key)
