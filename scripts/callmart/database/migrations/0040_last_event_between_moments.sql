-- It asks from which moment on to look, too (objects/landing.sql).
drop function if exists raw.last_event(integer, timestamptz);
