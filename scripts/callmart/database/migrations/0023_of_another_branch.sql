-- Another branch has number 23.
select 1;
