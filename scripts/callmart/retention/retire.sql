-- name: held_back
-- The days that checks of the mart hold back, with the remaining causes: the checks of other marts.
select
    customer_id,
    call_date,
    string_agg(one, '; ' order by place) filter (where not starts_with(one, %(mart)s || ': ')) as others
from ops.held_back
cross join lateral unnest(string_to_array(cause, '; ')) with ordinality as causes (one, place)
group by customer_id, call_date
having bool_or(starts_with(one, %(mart)s || ': '));

-- name: release
-- Release the days that nothing else holds back.
delete from ops.held_back as d using {held_back} as h
where d.customer_id = h.customer_id and d.call_date = h.call_date and h.others is null;

-- name: keep_other_causes
update ops.held_back as d
set cause = h.others
from {held_back} as h
where d.customer_id = h.customer_id and d.call_date = h.call_date;
