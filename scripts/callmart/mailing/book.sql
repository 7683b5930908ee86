-- name: note
insert into registry.mailed (customer_id, week, recipient_key, report, state)
select
    %(customer)s,
    %(week)s,
    %(recipient)s,
    reports.report,
    %(state)s
from unnest(%(reports)s::text[]) as reports (report)
on conflict (customer_id, week, recipient_key, report) do update set state = excluded.state;

-- name: forget
delete from registry.mailed
where
    customer_id = %(customer)s and week = %(week)s and recipient_key = %(recipient)s and report = any(%(reports)s);
