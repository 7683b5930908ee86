-- name: rows
-- The same number of rows per customer.
insert into {table}
select
    customer_id,
    'word ' || customer_id,
    customer_id * 1000 + n % 7,
    customer_id * 1000,
    customer_id / 7.0,
    timestamptz '2020-01-01' + make_interval(days => customer_id),
    n % 2 = 0
from generate_series({own}, {other}) as customer_id
cross join generate_series(1, {rows}) as n;
