-- dbt wants a table of moments beside semantic models. No ratio needs one, and the database has none.
select 1
