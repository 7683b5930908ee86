-- name: opened
-- How many days of customers are open, and how many are held back.
select
    count(*) as opened,
    (select count(*) from ops.held_back) as held_back
from (
    select distinct
        customer_id,
        call_date
    from ops.opened_day
    where isfinite(call_date)
) as days;
