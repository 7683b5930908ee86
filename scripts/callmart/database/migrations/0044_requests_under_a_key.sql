-- They take the fingerprint of the key as well.
drop function if exists privacy.open_request(integer, text, text, text, date, text);
drop function if exists privacy.verify(integer, text, boolean, boolean, boolean, text, text);
