-- A row is a line that the registry names.

select
    customer_id,
    line,
    channels
from {{ source('registry', 'line') }}
