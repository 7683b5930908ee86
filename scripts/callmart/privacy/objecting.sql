-- name: is_left_out
-- Whether every agent is left out, by a key of now or from before a rotation.
select bool_and(is_left_out)
from (
    select bool_or(privacy.objects(%(customer)s, known.key)) as is_left_out
    from unnest(%(agents)s::text[], %(keys)s::text[]) as known (agent, key)
    group by known.agent
) as each;
