-- A row is an agent who objects to being shown.

select
    customer_id,
    beginning,
    tombstone
from {{ source('privacy', 'objector') }}
