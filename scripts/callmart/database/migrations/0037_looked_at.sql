-- When callmart last looked at what a customer has on Tableau: the day alone let it look at everybody in the first run of
-- a day.
alter table ops.publication add column looked_at timestamptz;

update ops.publication set looked_at = looked_on where looked_on is not null;

alter table ops.publication drop column looked_on;
