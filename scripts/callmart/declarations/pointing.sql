-- name: undeclared
-- The columns that do not say whom they point to; and with their mart's group, those that point to a person that a mart
-- of the group may not show.
select
    schema_name,
    format('%I.%I.%I (%s)', schema_name, relation_name, column_name, data_type) as column_name,
    array_to_string(persons, ', ') as persons,
    case when persons is not null then mart_group end as mart_group
from access.pointing_column
left join access.mart using (relation)
where
    (must_say and persons is null)
    or (mart_group is not null and not persons <@ access.persons_shown(mart_group))
order by column_name;

-- name: said
-- The tables of marts and statistics, each with its columns and whom they say to point to.
select
    format('%I.%I', schema_name, relation_name),
    jsonb_object_agg(column_name, array_to_string(persons, ', '))
from access.pointing_column
where schema_name in ('store', 'usage')
group by schema_name, relation_name;
