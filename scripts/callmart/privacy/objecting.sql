-- name: left_out
-- How many of the agents are left out, by a key of now or from before a rotation, and how many are not.
select
    count(*) filter (where is_left_out),
    count(*) filter (where not is_left_out)
from (
    select bool_or(privacy.objects(%(customer)s, known.key)) as is_left_out
    from unnest(%(agents)s::text[], %(keys)s::text[]) as known (agent, key)
    group by known.agent
) as each;

-- name: was_left_out
-- Whether the ledger has ever left one of the agents out.
select exists(
    select 1
    from privacy.known_tombstone as t
    inner join privacy.secret as s on t.customer_id = s.customer_id
    cross join unnest(%(keys)s::text[]) as known (key)
    where
        t.customer_id = %(customer)s
        and t.kind = 'objector'
        and t.tombstone = privacy.tombstone_of(s.secret, 'objector', known.key)
);
