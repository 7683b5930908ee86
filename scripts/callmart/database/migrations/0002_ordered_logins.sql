alter table registry.customer add column if not exists sql_login boolean not null default false;

-- The roles of customers that are still to be closed: dropped, or barred from logging in if the contract goes on. They
-- are noted when they lose their memberships, so that the next run finds those that the last one could not close.
create table if not exists access.closing (
    role name primary key
);
