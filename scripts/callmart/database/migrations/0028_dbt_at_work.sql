-- Whether dbt by itself is at work, or was killed: it keeps no session that could hold a lock (ops.dbt_is_at_work).
create table ops.dbt_at_work (
    one_row boolean primary key default true check (one_row),
    invocation text not null, -- dbt's own id of what it does
    begun_at timestamptz not null default now()
);
