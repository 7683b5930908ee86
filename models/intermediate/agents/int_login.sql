-- A row is a login at a device.

with presence as (
    select * from {{ ref('int_presence') }}
    where kind = 'login'
)

select
    customer_id,
    agent_key,
    place as device_key,
    came_at as logged_in_at,
    left_at as logged_out_at,
    began_at,
    ended_at,
    has_length
from presence
