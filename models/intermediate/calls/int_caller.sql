-- A row is a caller (a number's key) of a queue on a day of the window.

with visits as (
    select * from {{ ref('int_visit') }}
    where number_key is not null
),

days as (
    select * from {{ ref('stg_day') }}
),

contracts as (
    select * from {{ ref('stg_contract') }}
),

events as not materialized (
    select * from {{ ref('stg_event') }}
),

callers as (
    select
        visits.customer_id,
        visits.call_date,
        visits.queue,
        visits.number_key,
        min(visits.call_key) as first_call_key,
        max(visits.call_key) as last_call_key
    from visits
    inner join days
        on visits.customer_id = days.customer_id
        and visits.call_date = days.call_date
    group by visits.customer_id, visits.call_date, visits.queue, visits.number_key
),

-- The six days before each day (`reach_days` of queue_day), unless they are in the window themselves or no contract
-- keeps them.
days_before as (
    select distinct
        days.customer_id,
        days.call_date - ago.days as call_date,
        days.time_zone
    from days
    cross join unnest(array[1, 2, 3, 4, 5, 6]) as ago (days)
    inner join contracts
        on days.customer_id = contracts.customer_id
        and {{ contract_keeps('days.call_date - ago.days') }}
    where not exists (
        select 1
        from days as built
        where built.customer_id = days.customer_id and built.call_date = days.call_date - ago.days
    )
),

joined_before as materialized (
    select
        days_before.customer_id,
        days_before.call_date,
        joined.queue,
        joined.call_key,
        joined.number_key
    from days_before
    {{ lookup('days_before', [
        'events.occurred_at >= ' ~ begin_of_day('days_before.call_date', 'days_before.time_zone'),
        'events.occurred_at < ' ~ begin_of_day('days_before.call_date + 1', 'days_before.time_zone'),
        "events.event = 'queue_joined'",
    ], columns=['queue', 'call_key', 'number_key']) }} as joined
),

-- A call that joined on one of these days can have shown its number on the day before.
days_of_numbers as (
    select distinct
        days_before.customer_id,
        days_before.call_date - ago.days as call_date,
        days_before.time_zone
    from days_before
    cross join unnest(array[0, 1]) as ago (days)
),

-- A call shows its number when it joins this queue or another one, or else when it starts.
numbers_before as materialized (
    select
        days_of_numbers.customer_id,
        days_of_numbers.call_date,
        shown.call_key,
        shown.event,
        shown.occurred_at,
        shown.number_key
    from days_of_numbers
    {{ lookup('days_of_numbers', [
        'events.occurred_at >= ' ~ begin_of_day('days_of_numbers.call_date', 'days_of_numbers.time_zone'),
        'events.occurred_at < ' ~ begin_of_day('days_of_numbers.call_date + 1', 'days_of_numbers.time_zone'),
        "events.event in ('call_started', 'queue_joined')",
        'events.number_key is not null',
    ], columns=['event', 'call_key', 'occurred_at', 'number_key']) }} as shown
),

called_before as (
    select
        customer_id,
        call_date,
        queue,
        call_key,
        number_key
    from joined_before
    where number_key is not null
    union all
    select
        joined_before.customer_id,
        joined_before.call_date,
        joined_before.queue,
        joined_before.call_key,
        coalesce(
            {{ first_said('numbers_before.number_key', "numbers_before.event = 'queue_joined'") }},
            {{ first_said('numbers_before.number_key', "numbers_before.event = 'call_started'") }}
        ) as number_key
    from joined_before
    inner join numbers_before
        on joined_before.customer_id = numbers_before.customer_id
        and joined_before.call_key = numbers_before.call_key
        and joined_before.call_date between numbers_before.call_date - 1 and numbers_before.call_date + 1
    where joined_before.number_key is null
    group by joined_before.customer_id, joined_before.call_date, joined_before.queue, joined_before.call_key
),

days_called as (
    select
        customer_id,
        call_date,
        queue,
        number_key,
        call_key as first_call_key,
        call_key as last_call_key,
        false as is_of_window
    from called_before
    union all
    -- A call that goes on in the window can show its number there only.
    select
        visits.customer_id,
        visits.call_date,
        visits.queue,
        visits.number_key,
        visits.call_key as first_call_key,
        visits.call_key as last_call_key,
        false as is_of_window
    from visits
    inner join days_before
        on visits.customer_id = days_before.customer_id
        and visits.call_date = days_before.call_date
    union all
    select
        customer_id,
        call_date,
        queue,
        number_key,
        first_call_key,
        last_call_key,
        true as is_of_window
    from callers
),

-- Calls have different keys, and one that goes on after midnight is one call. So two keys are two calls.
counted as (
    select
        *,
        first_call_key < last_call_key as called_again,
        min(first_call_key) over week < max(last_call_key) over week as called_again_in_week
    from days_called
    window week as (
        partition by customer_id, queue, number_key
        order by call_date - date '2000-01-01'
        range between 6 preceding and current row
    )
)

select
    customer_id,
    call_date,
    queue,
    number_key,
    called_again,
    called_again_in_week
from counted
where is_of_window
