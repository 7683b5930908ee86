-- A row is a customer, with its clock and its thresholds.

select
    customer_id,
    time_zone,
    service_level_s,
    short_abandon_s
from {{ source('registry', 'customer') }}
