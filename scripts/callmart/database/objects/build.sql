-- build: the window that dbt computes.

create table if not exists build."window" (
    customer_id integer not null,
    call_date date not null,
    mark bigint not null,
    reached boolean not null default false, -- not changed itself: for the marts that look back at one that has
    primary key (customer_id, call_date)
);
