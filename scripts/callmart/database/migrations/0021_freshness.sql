-- What the books know of Tableau: whether a customer's data sources may have a warning, and how often people have
-- opened each report. `since` is when that number last changed, or was first seen. It names nobody.
alter table ops.publication add column is_warned boolean not null default false;

create table ops.report_use (
    customer_id integer not null references registry.customer on delete cascade,
    report text not null,
    times bigint not null,
    since timestamptz not null default now(),
    primary key (customer_id, report)
);
