-- models/intermediate/agents/int_member.sql for DuckDB, which has no range types. It holds for days that are over, and
-- for logins and memberships that do not overlap, like the simulated ones.

with stretches as (
    select
        members.customer_id,
        members.agent_key,
        members.queue,
        greatest(members.began_at, logins.began_at) as began_at,
        least(members.ended_at, logins.ended_at) as ended_at
    from build.int_membership as members
    inner join build.int_login as logins
        on
            members.customer_id = logins.customer_id
            and members.agent_key = logins.agent_key
            and members.began_at < logins.ended_at
            and logins.began_at < members.ended_at
),

of_days as (
    select
        stretches.*,
        days.call_date,
        greatest(stretches.began_at, days.begins_at) as from_moment,
        least(stretches.ended_at, days.ends_at) as until_moment
    from stretches
    inner join build.stg_day as days
        on
            stretches.customer_id = days.customer_id
            and stretches.began_at < days.ends_at
            and stretches.ended_at > days.begins_at
),

parts as (
    select
        *,
        unnest(generate_series(
            date_bin(interval '15 minutes', from_moment, timestamptz '2000-01-01 00:00:00+00'),
            until_moment - interval '1 microsecond',
            interval '15 minutes'
        )) as interval_start
    from of_days
)

select
    customer_id,
    call_date,
    agent_key,
    queue,
    interval_start,
    (
        floor(epoch(least(until_moment, interval_start + interval '15 minutes') - interval_start) + 0.5)
        - floor(epoch(greatest(from_moment, interval_start) - interval_start) + 0.5)
    )::integer as member_s
from parts
where member_s > 0
