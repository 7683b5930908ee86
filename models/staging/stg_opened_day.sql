-- A row is a customer's day of a mart, as it was last opened.

select
    customer_id,
    call_date,
    mart,
    row_count
from {{ source('ops', 'opened_day') }}
