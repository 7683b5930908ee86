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
