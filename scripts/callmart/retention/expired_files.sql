-- name: kept_builds
select build_id from ops.build
where (built_at at time zone %(zone)s)::date >= %(floor)s and build_id not in ({passed});

-- name: read_again
-- The next extract reads all rows. Until it has, the mail is suspended.
update ops.extract
set basis = basis - 'opened'
where customer_id = %(customer)s and mart_group = %(mart_group)s;
