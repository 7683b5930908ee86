-- name: opened
-- How many days of customers are open, and how many are held back.
select
    (select count(distinct (customer_id, call_date)) from ops.opened_day where isfinite(call_date)),
    (select count(*) from ops.held_back);
