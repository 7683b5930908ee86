-- name: make_table
-- The migrations that this database has had. One in steps that is not finished has no applied_at, and the place that it
-- has reached.
create schema if not exists ops;
create table if not exists ops.migration (
    number integer primary key,
    name text not null,
    checksum text not null,
    place jsonb,
    applied_at timestamptz
);

-- name: begun
select
    number,
    name,
    checksum,
    applied_at is not null
from ops.migration
order by number;

-- name: place
select place
from ops.migration
where number = %(number)s;

-- name: note
insert into ops.migration (number, name, checksum, place, applied_at)
values (%(number)s, %(name)s, %(checksum)s, %(place)s, case when %(done)s then clock_timestamp() end)
on conflict (number) do update
    set
        checksum = excluded.checksum,
        place = excluded.place,
        applied_at = excluded.applied_at;
