-- When callmart last saw whether a customer's mails had gone out: of those whose hour comes later it still has to look.
alter table ops.publication add column mails_seen timestamptz;
