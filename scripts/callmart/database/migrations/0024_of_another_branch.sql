-- Another branch has number 24.
select 1;
