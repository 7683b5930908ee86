-- A row is a customer that has ordered a list of contacts.

select
    customer_id,
    first_day
from {{ source('registry', 'contact_list') }}
