-- A row is a customer's day that waits to be computed, or is held back by its checks.

select
    customer_id,
    call_date
from {{ source('ops', 'dirty_day') }}
