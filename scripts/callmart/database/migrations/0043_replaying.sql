-- A customer can also be closed because a replay has not yet erased again everybody who came back.
alter table privacy.closed drop constraint closed_cause_check;

alter table privacy.closed add constraint closed_cause_check
check (cause in ('differs', 'unreadable', 'replaying'));
