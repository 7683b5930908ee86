-- Another branch has number 26.
select 1;
