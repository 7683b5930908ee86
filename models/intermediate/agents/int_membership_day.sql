-- A row is a queue and a day on which somebody was a member of it, logged in or not.

with memberships as (
    select * from {{ ref('int_membership') }}
),

days as (
    select * from {{ ref('stg_day') }}
),

of_days as (
    {{ days_of_phases('memberships', 'began_at', 'ended_at') }}
)

select distinct
    customer_id,
    call_date,
    queue
from of_days
