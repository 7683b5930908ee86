-- models/intermediate/agents/int_attendance.sql for DuckDB, which has no range types. It holds for days that are over,
-- and for logins and statuses that do not overlap, like the simulated ones.

with days as (
    select * from build.stg_day
),

logins as (
    select
        logins.customer_id,
        logins.agent_key,
        logins.has_length,
        days.call_date,
        greatest(logins.began_at, days.begins_at) as began_at,
        least(logins.ended_at, days.ends_at) as ended_at
    from build.int_login as logins
    inner join days
        on
            logins.customer_id = days.customer_id
            and logins.began_at < days.ends_at
            and (logins.ended_at > days.begins_at or logins.began_at >= days.begins_at)
),

attendance as (
    select
        customer_id,
        call_date,
        agent_key,
        sum(epoch(ended_at - began_at)) as seconds,
        bool_and(has_length) as is_known
    from logins
    group by all
),

not_ready as (
    select
        logins.customer_id,
        logins.call_date,
        logins.agent_key,
        coalesce(
            sum(epoch(least(phases.ended_at, logins.ended_at) - greatest(phases.started_at, logins.began_at))) filter (
                where
                    phases.status in ('break', 'away', 'training', 'other')
                    and phases.started_at < logins.ended_at
                    and phases.ended_at > logins.began_at
            ),
            0
        ) as seconds
    from logins
    inner join build.int_status as phases
        on
            logins.customer_id = phases.customer_id
            and logins.agent_key = phases.agent_key
    group by all
)

select
    customer_id,
    call_date,
    agent_key,
    case when is_known then floor(attendance.seconds + 0.5)::integer end as logged_in_s,
    case when is_known then floor(attendance.seconds - not_ready.seconds + 0.5)::integer end as ready_s
from attendance
left join not_ready using (customer_id, call_date, agent_key)
