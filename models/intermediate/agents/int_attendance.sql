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

logged_in as (
    select
        logins.customer_id,
        days.call_date,
        logins.agent_key,
        range_agg(tstzrange(greatest(logins.began_at, days.begins_at), least(logins.ended_at, days.ends_at))) as times,
        bool_and(logins.has_length) as is_known
    from logins
    inner join days
        on logins.customer_id = days.customer_id
        and logins.began_at < days.ends_at
        and (logins.ended_at > days.begins_at or logins.began_at >= days.begins_at)
    group by logins.customer_id, days.call_date, logins.agent_key
),

not_ready as (
    select
        phases.customer_id,
        days.call_date,
        phases.agent_key,
        coalesce(
            range_agg(tstzrange(phases.started_at, phases.ended_at)) filter (
                where phases.status in ('break', 'away', 'training', 'other')
            ),
            '{}'
        ) as times
    from phases
    inner join days
        on phases.customer_id = days.customer_id
        and phases.started_at < days.ends_at
        and (phases.ended_at > days.begins_at or phases.started_at >= days.begins_at)
    group by phases.customer_id, days.call_date, phases.agent_key
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
