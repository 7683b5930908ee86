-- name: recipients
-- Who gets reports: of customers with a contract today, with the customer's time and the fingerprint of its key.
select
    c.customer_id,
    (now() at time zone c.time_zone) as now,
    c.key_fingerprint,
    r.email,
    r.reports,
    r.mail_format
from registry.current_option
inner join registry.customer as c using (customer_id)
inner join registry.recipient as r using (customer_id)
where cardinality(r.reports) > 0
order by c.customer_id, r.email;

-- name: mailed
-- The reports of a week that a customer's recipients have been mailed, whatever became of the mail.
select
    recipient_key,
    report
from registry.mailed
where customer_id = %(customer)s and week = %(week)s;

-- name: forget_failures
-- So that they are mailed again.
delete from registry.mailed
where customer_id = %(customer)s and state in ('refused', 'unknown');

-- name: note_unknown
-- Note the mails that were on their way when an earlier process ended: nobody knows whether they arrived.
with unknown as (
    update registry.mailed set state = 'unknown'
    where state = 'going'
    returning customer_id, recipient_key
)

select
    customer_id,
    count(distinct recipient_key)
from unknown
group by customer_id
order by customer_id;
