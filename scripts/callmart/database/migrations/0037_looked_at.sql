-- When callmart last looked at what a customer has on Tableau. By the day alone, the first run of a day looked at
-- everybody.
alter table ops.publication add column looked_at timestamptz;

update ops.publication set looked_at = looked_on where looked_on is not null;

alter table ops.publication drop column looked_on;
