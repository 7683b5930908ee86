-- The time zone in which a file's local times were read, and the last local day of which it had events. Null if it has
-- no local times, or landed before this.
alter table raw.file add column if not exists time_zone text, add column if not exists last_local_day date;
