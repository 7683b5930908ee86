-- name: listed
-- The keys that were destroyed, each with who has attested since that its backups are gone.
select
    d.customer_id,
    d.at,
    (d.details ->> 'backups gone')::date,
    a.at as attested_at,
    a.actor
from ops.audit_log as d
left join lateral (
    select
        later.at,
        later.actor
    from ops.audit_log as later
    where later.action = 'key backups destroyed' and later.customer_id = d.customer_id and later.entry > d.entry
    order by later.entry
    limit 1
) as a on true
where d.action = 'key destroyed'
order by d.entry desc;
