-- The fingerprint of the customer's key that the tombstones of an entry were made with. A customer that comes back
-- after everything of it was removed has another key.
alter table privacy.ledger_entry add column key_fingerprint text;
