-- name: seals
-- The entries that seal others, the last one first. With `most`, so many of those that look like callmart's: whoever
-- switches the triggers off can add others.
with seals as (
    select
        entry,
        at,
        case
            when
                jsonb_typeof(details -> 'key') = 'string'
                and jsonb_typeof(details -> 'seal') = 'string'
                and details ->> 'through' ~ '^\d{1,18}$'
                then details - 'seal'
        end as sealed,
        coalesce(details ->> 'seal', '') as seal
    from ops.audit_log
    where action = 'sealed'
)

select *
from seals
where sealed is not null or %(most)s::integer is null
order by entry desc
limit %(most)s::integer;

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
-- When a run first made or found a seal that is gone, the first day of which all is kept that runs did, and the last
-- entry that says that a key of the installation was lost. Nothing here fails on what somebody else wrote.
select
    (
        select min(s.began_at) from ops.run_stage as s
        where
            s.stage = 'seal'
            and s.outcome = 'done'
            and s.counts ? 'entry'
            and not exists (
                select 1 from ops.audit_log as l
                where l.action = 'sealed' and l.entry::text = s.counts ->> 'entry'
            )
    ),
    access.retention_floor(),
    (
        select max(entry) from ops.audit_log
        where action = 'key of the installation lost'
    );
