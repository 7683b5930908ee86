-- The source's own id of a call can hold a number, and whoever has its log could join by it. Calls have their keys.
alter table raw.event drop column call_id;
alter table raw.incoming drop column call_id;

-- The name and the content of a file are known by keys of the installation.
alter table raw.file rename column name to name_key;
alter table raw.file rename column sha256 to content_key;

-- Their parameters have the new names as well.
drop function if exists raw.has_landed(text, integer, text);
drop function if exists raw.keep(text, text, integer, text, bigint, bigint, bigint, boolean, jsonb);
comment on column raw.file.name_key is 'person: nobody';
comment on column raw.file.content_key is 'person: nobody';
