-- name: over
-- The entries whose days are all too old, and that are older than any backup that is kept. A backup from before the
-- entry has the person, even if it was made after the end of the days that were erased.
select e.entry
from privacy.ledger_entry as e
left join registry.customer as c using (customer_id)
where
    e.ended_at is null
    and (e.until at time zone coalesce(c.time_zone, 'UTC'))::date <= access.retention_floor()
    and e.at < now() - make_interval(days => %(days)s)
order by e.entry;

-- name: forget_subjects
-- The subject goes with the tombstone, and so does the hash of the plan, by which a person can be guessed. A request
-- without a tombstone is one in which nothing was erased.
update privacy.request as r
set
    subject = null,
    plan_hash = null
where
    r.ended_at is not null
    and num_nonnulls(r.subject, r.plan_hash) > 0
    and not exists (
        select from privacy.ledger_entry as e
        where e.request = r.number and e.customer_id = r.customer_id
    );
