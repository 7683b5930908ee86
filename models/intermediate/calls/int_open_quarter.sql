-- A row is a quarter-hour of a day for which opening hours are declared, on the customer's clock.

with days as (
    select * from {{ ref('stg_day') }}
),

hours as (
    select * from {{ ref('stg_opening_hours') }}
),

holidays as (
    select * from {{ ref('stg_holiday') }}
),

-- The hours that are valid on a day, of whichever weekday or date.
valid as (
    select
        days.customer_id,
        days.call_date,
        hours.queue,
        hours.weekday,
        hours.call_date as own_date,
        hours.opens,
        hours.closes
    from days
    inner join hours
        on days.customer_id = hours.customer_id
        and days.call_date >= hours.valid_from
        and (days.call_date < hours.valid_until or hours.valid_until is null)
),

declared as (
    select
        valid.customer_id,
        valid.call_date,
        valid.queue,
        bool_or(valid.own_date = valid.call_date) as has_own_hours,
        bool_or(holidays.call_date is not null) as is_holiday
    from valid
    left join holidays
        on valid.customer_id = holidays.customer_id
        and valid.queue is not distinct from holidays.queue
        and valid.call_date = holidays.call_date
    group by valid.customer_id, valid.call_date, valid.queue
),

quarter_hours as (
    select
        declared.*,
        minutes.minute_of_day
    from declared
    cross join generate_series(0, 1425, 15) as minutes (minute_of_day)
)

-- The hours of a date win over a holiday, and a holiday over those of its weekday.
select
    quarter_hours.customer_id,
    quarter_hours.queue,
    quarter_hours.call_date + make_interval(mins => quarter_hours.minute_of_day) as interval_local,
    count(valid.opens) > 0 as is_open
from quarter_hours
left join valid
    on quarter_hours.customer_id = valid.customer_id
    and quarter_hours.call_date = valid.call_date
    and quarter_hours.queue is not distinct from valid.queue
    and case
        when quarter_hours.has_own_hours then quarter_hours.call_date = valid.own_date
        else not quarter_hours.is_holiday and extract(isodow from quarter_hours.call_date) = valid.weekday
    end
    and quarter_hours.minute_of_day >= valid.opens
    and quarter_hours.minute_of_day < valid.closes
group by
    quarter_hours.customer_id, quarter_hours.queue, quarter_hours.call_date, quarter_hours.minute_of_day
