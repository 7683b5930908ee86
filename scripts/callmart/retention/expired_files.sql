-- name: kept_builds
select build_id from ops.build
where (built_at at time zone %(zone)s)::date >= %(floor)s and build_id not in ({passed});
