-- Of a customer with one recipient, this is what that person does: the day is enough, and it goes with the person. So
-- it is in the schema whose tables are gone through when somebody is erased.
alter table ops.report_use set schema registry;
alter table registry.report_use alter column since drop default;
alter table registry.report_use alter column since type date using since::date;
