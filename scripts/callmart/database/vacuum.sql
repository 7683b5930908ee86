-- name: noted
-- The noted relations, each with its kind. The kind is null if the relation no longer exists.
select
    v.relation,
    c.relkind,
    c.reltuples >= 0,
    v.is_whole
from ops.to_vacuum as v
left join pg_class as c on c.oid = to_regclass(v.relation)
order by 1;
