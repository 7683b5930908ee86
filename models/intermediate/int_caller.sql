-- A row is a caller (a number's key) on a day of a queue in the window: whether it called more than once on the day,
-- and within the seven days that end with it. A call that joins a queue twice is one call.

with visits as (
    select * from {{ ref('int_visit') }}
    where number_key is not null
),

days as (
    select * from {{ ref('stg_day') }}
),

contracts as (
    select * from {{ source('registry', 'kept_contract') }}
),

events as not materialized (
    select * from {{ source('raw', 'event') }}
),

callers as (
    select
        visits.customer_id,
        visits.call_date,
        visits.queue,
        visits.number_key,
        min(visits.call_key) < max(visits.call_key) as called_again
    from visits
    inner join days
        on visits.customer_id = days.customer_id
        and visits.call_date = days.call_date
    group by visits.customer_id, visits.call_date, visits.queue, visits.number_key
),

-- The six days before each, as far as they are not in the window themselves and a contract keeps them.
days_before as (
    select distinct
        days.customer_id,
        days.call_date - ago.days as call_date,
        {{ begin_of_day('days.call_date - ago.days', 'days.time_zone') }} as begins_at,
        {{ begin_of_day('days.call_date - ago.days + 1', 'days.time_zone') }} as ends_at
    from days
    cross join unnest(array[1, 2, 3, 4, 5, 6]) as ago (days)
    inner join contracts
        on days.customer_id = contracts.customer_id
        and days.call_date - ago.days >= contracts.valid_from
        and (days.call_date - ago.days < contracts.valid_until or contracts.valid_until is null)
    where not exists (
        select 1
        from days as built
        where built.customer_id = days.customer_id and built.call_date = days.call_date - ago.days
    )
),

-- Day by day: the offset keeps the planner from reading all of the history at once.
joined_before as materialized (
    select
        days_before.*,
        joined.queue,
        joined.call_key,
        joined.number_key
    from days_before
    cross join lateral (
        select
            events.queue,
            events.call_key,
            events.number_key
        from events
        where
            events.customer_id = days_before.customer_id
            and events.occurred_at >= days_before.begins_at
            and events.occurred_at < days_before.ends_at
            and events.event = 'queue_joined'
        offset 0 -- noqa: AM09
    ) as joined
),

-- The number is told when the call joins, or else when it starts; that can be on the day before.
started_before as materialized (
    select
        days_before.customer_id,
        days_before.call_date,
        started.call_key,
        started.number_key
    from days_before
    cross join lateral (
        select
            events.call_key,
            events.number_key
        from events
        where
            events.customer_id = days_before.customer_id
            and events.occurred_at >= days_before.begins_at - interval '1 day'
            and events.occurred_at < days_before.ends_at
            and events.event = 'call_started'
            and events.number_key is not null
        offset 0 -- noqa: AM09
    ) as started
),

called_before as (
    select
        customer_id,
        call_date,
        queue,
        number_key
    from joined_before
    where number_key is not null
    union all
    select
        joined_before.customer_id,
        joined_before.call_date,
        joined_before.queue,
        min(started_before.number_key) as number_key
    from joined_before
    inner join started_before using (customer_id, call_date, call_key)
    where joined_before.number_key is null
    group by joined_before.customer_id, joined_before.call_date, joined_before.queue, joined_before.call_key
),

days_called as (
    select distinct
        called_before.customer_id,
        called_before.call_date,
        called_before.queue,
        called_before.number_key,
        false as called_again,
        false as is_in_window
    from called_before
    inner join callers using (customer_id, queue, number_key)
    union all
    select
        customer_id,
        call_date,
        queue,
        number_key,
        called_again,
        true as is_in_window
    from callers
),

compared as (
    select
        *,
        lag(call_date) over (partition by customer_id, queue, number_key order by call_date) as called_before_on
    from days_called
)

select
    customer_id,
    call_date,
    queue,
    number_key,
    called_again,
    called_again or coalesce(called_before_on >= call_date - 6, false) as called_again_in_week
from compared
where is_in_window
