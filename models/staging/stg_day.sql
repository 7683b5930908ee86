-- A row is a day of a customer that is to be computed, with what the registry says of it.

with days as (
    select * from {{ source('build', 'window') }}
),

customers as (
    select * from {{ source('registry', 'customer') }}
),

contracts as (
    select * from {{ source('registry', 'kept_contract') }}
)

select
    days.customer_id,
    days.call_date,
    customers.time_zone,
    contracts.option,
    {{ begin_of_day('days.call_date', 'customers.time_zone') }} as begins_at,
    {{ begin_of_day('days.call_date + 1', 'customers.time_zone') }} as ends_at
from days
inner join customers on days.customer_id = customers.customer_id
-- A day without a contract is not computed at all.
inner join contracts
    on days.customer_id = contracts.customer_id
    and days.call_date >= contracts.valid_from
    and (days.call_date < contracts.valid_until or contracts.valid_until is null)
