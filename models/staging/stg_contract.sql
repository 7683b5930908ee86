-- A row is a span of days that a customer's contract keeps today, with what the customer ordered for them.

select
    customer_id,
    option,
    valid_from,
    valid_until
from {{ source('registry', 'kept_contract') }}
