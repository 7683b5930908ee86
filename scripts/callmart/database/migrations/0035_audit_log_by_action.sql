-- What is sought in the audit log, and what goes from it after two years, is found without reading all of it.
create index audit_log_by_action on ops.audit_log (action, at);
