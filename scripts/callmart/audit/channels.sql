-- name: kept
-- Whether a contract that opens the mart keeps the day of a row `m`.
select 1 from registry.kept_contract as k
where
    k.customer_id = {customer}
    and k.option = any({options})
    and m.{day} >= k.valid_from
    and (m.{day} < k.valid_until or k.valid_until is null);
