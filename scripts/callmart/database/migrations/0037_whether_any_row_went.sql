-- It returns whether any row went, and no longer nothing (objects/landing.sql).
drop function if exists raw.drop_repeated();
