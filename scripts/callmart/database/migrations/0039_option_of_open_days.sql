-- Whether a day was opened under a detailed contract. Null of days that were opened before this.
alter table ops.opened_day add column if not exists is_detailed boolean;
