-- What is sought in the audit log, and what goes from it after two years, is found without reading all of it.
create index audit_log_by_action on ops.audit_log (action, at);

-- So is the build that last opened days of a customer.
create index opened_day_by_build on ops.opened_day (customer_id, build_id);
