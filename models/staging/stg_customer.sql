-- A row is a customer, with its clock, its thresholds and its target.

select
    customer_id,
    time_zone,
    service_level_s,
    short_abandon_s,
    service_level_target
from {{ source('registry', 'customer') }}
