-- The day on which callmart last began work. A clock that is too far from it is not believed (clock.py).
create table if not exists ops.clock (
    one_row boolean primary key default true check (one_row),
    day date not null
);
