-- Targets of reports, opening hours, and who has ordered a row per contact.
alter table registry.customer
add column service_level_target double precision, -- the share to be answered within service_level_s
add column contact_list_days integer, -- how long the list of contacts is kept; null if it is not ordered
add column export boolean not null default false; -- its users may export data on Tableau

alter table registry.queue add column service_level_target double precision;

alter table registry.recipient
add column mail_format text not null default 'pdf' check (mail_format in ('pdf', 'csv', 'both'));

-- When a queue is open, on the customer's clock; a queue of null stands for all queues that have no hours of their own.
-- The hours of a date win over those of its weekday, and over a holiday. Where both minutes are the same it is closed.
create table registry.opening_hours (
    customer_id integer not null references registry.customer on delete cascade,
    queue text,
    valid_from date not null,
    valid_until date, -- exclusive; null if the hours have no end
    weekday integer check (weekday between 1 and 7), -- 1 is Monday; null if the hours are of one date
    call_date date,
    opens integer not null, -- minutes since midnight
    closes integer not null, -- exclusive
    unique nulls not distinct (customer_id, queue, valid_from, weekday, call_date, opens),
    check ((weekday is null) <> (call_date is null)),
    check (0 <= opens and opens <= closes and closes <= 1440)
);

-- The days on which a queue is closed, whatever its weekday says. Only where there are opening hours.
create table registry.holiday (
    customer_id integer not null references registry.customer on delete cascade,
    queue text,
    call_date date not null,
    unique nulls not distinct (customer_id, queue, call_date)
);

-- Customers read these columns through a view, and the planner would show a sample of all customers'. Giving a column
-- its own type removes its sample. The next build makes its view again.
drop view if exists build.stg_queue cascade;
alter table registry.queue alter service_level_s type integer;
alter table registry.line alter channels type integer;
