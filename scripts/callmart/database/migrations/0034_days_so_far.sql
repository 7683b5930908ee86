-- Of a day that was computed before it was over: the moment through which its data went. Null if the day was over.
alter table build."window" add column so_far timestamptz;
alter table ops.opened_day add column so_far timestamptz;

create index opened_day_so_far on ops.opened_day (customer_id, call_date) where so_far is not null;

-- It takes the moment, too.
drop function if exists ops.fill_window(jsonb);
