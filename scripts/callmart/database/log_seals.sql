-- name: seals
-- The entries that seal others, in their order.
select
    s.entry,
    s.at,
    s.details,
    s.entry < (
        select max(l.entry) from ops.audit_log as l
        where l.action = 'key of the installation lost'
    ) is true as is_before_loss
from ops.audit_log as s
where s.action = 'sealed'
order by s.entry;

-- name: through
-- The last entry, and which ones are too old after two years.
select
    coalesce(max(entry), 0),
    ops.routine_actions()
from ops.audit_log;

-- name: digests
-- A hash of the entries that have no end, one of what runs did by themselves, and the day of the first of all.
with content as (
    select
        entry,
        at,
        action = any(%(routine)s::text[]) as is_routine,
        sha256(
            convert_to(
                jsonb_build_array(entry, extract(epoch from at), actor, action, customer_id, details)::text, 'UTF8'
            )
        ) as digest
    from ops.audit_log
    where entry <= %(through)s and (entry > %(after)s or %(after)s::bigint is null)
)

select
    encode(sha256(coalesce(string_agg(digest, '' order by entry) filter (where not is_routine), '')), 'hex'),
    encode(sha256(coalesce(string_agg(digest, '' order by entry) filter (where is_routine), '')), 'hex'),
    (min(at) at time zone 'UTC')::date::text
from content;

-- name: sealing
-- When runs first and last did this, and the first day of which all is kept that runs did.
select
    min(ended_at),
    max(ended_at),
    access.retention_floor()
from ops.run_stage
where stage = 'seal' and outcome = 'done';
