-- Another branch has number 25.
select 1;
