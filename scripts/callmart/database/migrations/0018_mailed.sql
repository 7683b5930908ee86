-- What became of the mails that callmart itself sends: one row per recipient, week and report. The next mailing deletes
-- the rows of earlier weeks.
create table registry.mailed (
    customer_id integer not null references registry.customer on delete cascade,
    week date not null, -- the Monday of the week that the report shows
    recipient_key text not null, -- the pseudonym of the recipient's address
    report text not null,
    state text not null check (state in ('going', 'sent', 'refused', 'unknown')),
    primary key (customer_id, week, recipient_key, report)
);
