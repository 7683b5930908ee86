-- The fingerprint of the customer's key that a request's subject was made with. A customer that comes back after
-- everything of it was removed has another key, and nobody can tell any more whom the request is about.
alter table privacy.request add column key_fingerprint text;

update privacy.request as r
set key_fingerprint = c.key_fingerprint
from registry.customer as c
where r.customer_id = c.customer_id and r.subject is not null;

-- They return or take other columns.
drop function if exists privacy.requests();
drop function if exists privacy.verify(integer, text, boolean, boolean, text);
drop function if exists raw.settle_erased();
drop function if exists raw.keep(text, text, integer, text, bigint, bigint, bigint, boolean, jsonb, bigint);
