-- A row is a stretch of a quarter-hour in which an agent staffed a queue: was logged in at a device and a member of the
-- queue.

with days as (
    select * from {{ ref('stg_day') }}
),

events as (
    select * from {{ ref('stg_agent_event') }}
    where kind = 'login'
),

logins as (
    select * from {{ ref('int_login') }}
    where began_at < ended_at
),

memberships as (
    select * from {{ ref('int_membership') }}
),

login_days as (
    select distinct
        customer_id,
        {{ local_date('occurred_at', 'time_zone') }} as login_date
    from events
),

-- A source that shows no login in the 31 days that end with a day may not show any.
day_sources as (
    select
        days.customer_id,
        days.call_date,
        count(login_days.login_date) > 0 as shows_logins
    from days
    left join login_days
        on days.customer_id = login_days.customer_id
        and login_days.login_date between days.call_date - 30 and days.call_date
    group by days.customer_id, days.call_date
),

logged_in as (
    select
        customer_id,
        agent_key,
        range_agg(tstzrange(began_at, ended_at)) as times
    from logins
    group by customer_id, agent_key
),

members as (
    select
        customer_id,
        agent_key,
        queue,
        range_agg(tstzrange(began_at, ended_at)) as times
    from memberships
    group by customer_id, agent_key, queue
),

present as (
    select
        members.customer_id,
        members.agent_key,
        members.queue,
        true as shows_logins,
        unnest(members.times * logged_in.times) as during
    from members
    inner join logged_in
        on members.customer_id = logged_in.customer_id
        and members.agent_key = logged_in.agent_key
    union all
    select
        customer_id,
        agent_key,
        queue,
        false as shows_logins,
        unnest(times) as during
    from members
),

stretches as (
    select
        *,
        lower(during) as began_at,
        upper(during) as ended_at
    from present
),

of_days as (
    {{ days_of_phases('stretches', 'began_at', 'ended_at') }}
),

parts as (
    select
        of_days.customer_id,
        of_days.call_date,
        of_days.agent_key,
        of_days.queue,
        quarter_hours.interval_start,
        greatest(of_days.from_moment, quarter_hours.interval_start) as from_moment,
        least(of_days.until_moment, quarter_hours.interval_start + interval '15 minutes') as until_moment
    from of_days
    inner join day_sources
        on of_days.customer_id = day_sources.customer_id
        and of_days.call_date = day_sources.call_date
        and of_days.shows_logins = day_sources.shows_logins
    cross join lateral {{ quarter_hours('of_days.from_moment', 'of_days.until_moment') }}
),

-- Both ends are rounded by the clock. By when a stretch began it would depend on how far the window looks back, as
-- logins and memberships that touch are one stretch.
rounded as (
    select
        customer_id,
        call_date,
        agent_key,
        queue,
        interval_start,
        {{ whole_seconds(seconds_between('interval_start', 'until_moment')) }}
        - {{ whole_seconds(seconds_between('interval_start', 'from_moment')) }} as member_s
    from parts
)

select * from rounded
where member_s > 0
