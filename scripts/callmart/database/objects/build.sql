-- build: the window that dbt computes.

create table if not exists build."window" (
    customer_id integer not null,
    call_date date not null,
    mark bigint not null,
    reached boolean not null default false, -- the day did not change, but a mart looks back from it at one that did
    primary key (customer_id, call_date)
);
