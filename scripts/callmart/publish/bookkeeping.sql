-- name: warned
-- The customers whose data sources may have a warning on Tableau, or need one.
select customer_id from ops.publication
where is_warned
union
select customer_id from ops.held_back
where isfinite(call_date)
union
select o.customer_id
from ops.outdated_day as o
inner join ops.definition as d using (definition_id)
where d.fingerprint is not null;

-- name: sites
-- The names of the sites on which customers are or should be; '' is the shared one.
select coalesce(tableau_site, '')
from registry.customer
where customer_id in (select customer_id from registry.current_option)
union
select site from ops.publication;

-- name: books
-- The customers that are, or may be, on a site. One can be there twice, if the site has had two names.
select
    customer_id,
    max(project_id),
    bool_or(is_from_before)
from ops.publication
where site = any(%(sites)s)
group by customer_id;

-- name: accounts
-- The accounts that are ours on a site, each with its group.
select
    user_id,
    group_id
from registry.account
where site = any(%(sites)s);

-- name: note_accounts
-- Only what changed is written.
with

gone as (
    delete from registry.account
    where site = any(%(sites)s) and (site <> %(site)s or user_id <> all(%(users)s::text[]))
)

insert into registry.account as known (site, user_id, group_id)
select
    %(site)s,
    user_id,
    group_id
from unnest(%(users)s::text[], %(groups)s::text[]) as u (user_id, group_id)
on conflict (site, user_id) do update
    set group_id = excluded.group_id
    where known.group_id <> excluded.group_id;

-- name: forget_accounts
delete from registry.account
where site = %(site)s;

-- name: begin
insert into ops.publication (customer_id, site, state)
select
    customer_id,
    %(site)s,
    'failed'
from unnest(%(customers)s::integer[]) as c (customer_id)
on conflict (customer_id, site) do update set looked_on = null;

-- name: note
-- `is_from_before`: published before projects had marks. It stays true until callmart publishes the project again.
insert into ops.publication as known (customer_id, site, state, project_id, is_warned, mails_seen)
values (
    %(customer)s, %(site)s, %(state)s, %(project)s, coalesce(%(warned)s::boolean, false), %(mails_seen)s::timestamptz
)
on conflict (customer_id, site) do update
    set
        state = excluded.state,
        is_warned = coalesce(%(warned)s::boolean, known.is_warned),
        mails_seen = coalesce(excluded.mails_seen, known.mails_seen),
        project_id = coalesce(excluded.project_id, known.project_id),
        is_from_before = known.is_from_before and excluded.project_id is null,
        at = excluded.at;

-- name: note_unread
-- A site that can't be read: what is there is unknown, so nothing comes into the books.
update ops.publication
set
    state = 'failed',
    at = clock_timestamp()
where customer_id = %(customer)s and site = any(%(sites)s);

-- name: note_wanted
-- Note that customers have on a site what they should, by its digest.
update ops.publication as p
set
    wanted = w.digest,
    looked_on = %(today)s
from unnest(%(customers)s::integer[], %(digests)s::text[]) as w (customer_id, digest)
where p.customer_id = w.customer_id and p.site = %(site)s;

-- name: settled
-- The customers who have been seen, on their last turn or since, to have on a site what they should, and the digest of
-- that. Turns come every so many `days`: as many as leave enough customers for each, and a week at most. They go by a
-- hash, so that a customer keeps its turn whoever else comes or leaves.
with turns as (
    select
        customer_id,
        wanted,
        state,
        is_from_before,
        looked_on,
        greatest(1, least(%(week)s, count(*) over () / %(enough)s)) as days
    from ops.publication
    where site = %(site)s
)

select
    customer_id,
    wanted
from turns
where
    state = 'published'
    and not is_from_before
    and looked_on <= %(today)s
    and looked_on >= %(today)s::date
    - mod(%(today)s::date - date '2000-01-01' + (hashint4(customer_id) & 65535), days)::integer;

-- name: forget
-- Customers of whom nothing is on a site any more. Whoever is on no other site has nothing that anybody opens.
with

gone as (
    delete from ops.publication
    where customer_id = any(%(customers)s) and site = any(%(sites)s)
)

delete from registry.report_use
where
    customer_id = any(%(customers)s)
    and customer_id not in (
        select customer_id from ops.publication
        where site <> all(%(sites)s)
    );

-- name: forget_site
delete from ops.publication
where site = %(site)s;

-- name: note_use
-- How often people have opened each report of a customer that is published, and since when they haven't any more.
with

seen as (
    select
        report,
        times
    from unnest(%(reports)s::text[], %(times)s::bigint[]) as s (report, times)
),

gone as (
    delete from registry.report_use
    where customer_id = %(customer)s and report not in (select report from seen)
)

insert into registry.report_use as known (customer_id, report, times, since)
select
    c.customer_id,
    seen.report,
    seen.times,
    (now() at time zone c.time_zone)::date
from seen
inner join registry.customer as c on c.customer_id = %(customer)s
where seen.times is not null
on conflict (customer_id, report) do update
    set
        times = excluded.times,
        since = excluded.since
    where known.times <> excluded.times;
