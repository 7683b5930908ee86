-- name: noted
-- The noted relations, each with its kind. The kind is null if the relation no longer exists. No two months of a table
-- stand side by side: a query of all months would meet one after another being written anew, and wait for each.
select
    v.relation,
    c.relkind,
    c.reltuples >= 0,
    v.is_whole
from ops.to_vacuum as v
left join pg_class as c on c.oid = to_regclass(v.relation)
left join pg_inherits as i on c.oid = i.inhrelid
order by row_number() over (partition by i.inhparent order by v.relation), v.relation;
