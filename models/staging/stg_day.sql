-- A row is a customer's day that this build computes.

with days as (
    select * from {{ source('build', 'window') }}
),

customers as (
    select * from {{ ref('stg_customer') }}
),

contracts as (
    select * from {{ ref('stg_contract') }}
)

select
    days.customer_id,
    days.call_date,
    days.reached as is_reached,
    customers.time_zone,
    contracts.option,
    {{ begin_of_day('days.call_date', 'customers.time_zone') }} as begins_at,
    {{ begin_of_day('days.call_date + 1', 'customers.time_zone') }} as ends_at,
    days.so_far
from days
inner join customers on days.customer_id = customers.customer_id
inner join contracts
    on days.customer_id = contracts.customer_id
    and {{ contract_keeps('days.call_date') }}
