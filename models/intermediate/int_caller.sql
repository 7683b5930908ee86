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

raw_events as (
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
        (days.call_date - ago.days)::timestamp at time zone days.time_zone as begins_at,
        (days.call_date - ago.days + 1)::timestamp at time zone days.time_zone as ends_at
    from days
    cross join generate_series(1, 6) as ago (days)
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

-- The number is told when the call joins, or else when it starts; that can be on the day before.
started_before as (
    select
        started.customer_id,
        started.call_key,
        min(started.number_key) as number_key
    from days_before
    inner join raw_events as started
        on days_before.customer_id = started.customer_id
        and days_before.begins_at - interval '1 day' <= started.occurred_at
        and days_before.ends_at > started.occurred_at
        and started.event = 'call_started'
    where started.number_key is not null
    group by started.customer_id, started.call_key
),

joined_before as (
    select
        joined.customer_id,
        days_before.call_date,
        joined.queue,
        joined.call_key,
        joined.number_key
    from days_before
    inner join raw_events as joined
        on days_before.customer_id = joined.customer_id
        and days_before.begins_at <= joined.occurred_at
        and days_before.ends_at > joined.occurred_at
        and joined.event = 'queue_joined'
),

called_before as (
    select
        joined_before.customer_id,
        joined_before.call_date,
        joined_before.queue,
        coalesce(joined_before.number_key, started_before.number_key) as number_key
    from joined_before
    left join started_before
        on joined_before.customer_id = started_before.customer_id
        and joined_before.call_key = started_before.call_key
),

days_called as (
    select distinct
        customer_id,
        call_date,
        queue,
        number_key,
        false as called_again,
        false as is_in_window
    from called_before
    where number_key is not null
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
