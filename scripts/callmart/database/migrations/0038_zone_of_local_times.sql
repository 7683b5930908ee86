-- The time zone in which a file's local times were read. Null if it has none, or landed before this.
alter table raw.file add column if not exists time_zone text;
