-- name: kept
-- Whether a contract that opens the mart keeps the day of a row `m`.
select 1 from registry.kept_contract as k
where
    k.customer_id = {customer}
    and k.option = any({options})
    and m.{day} >= k.valid_from
    and (m.{day} < k.valid_until or k.valid_until is null);

-- name: opened
-- How many rows of each mart and customer were opened on days that are kept.
select
    customer_id,
    mart,
    sum(row_count)::bigint
from ops.opened_day
where call_date >= %(floor)s or not isfinite(call_date)
group by customer_id, mart;

-- name: extracts
-- What the books say of each extract.
select
    customer_id,
    mart_group,
    content_hash,
    file_hash
from ops.extract;
