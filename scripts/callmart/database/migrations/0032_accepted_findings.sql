-- In how many rows a day fails an expectation: what a release accepts. Null where that is not known.
alter table ops.quality_failure add column if not exists failing_rows bigint;
