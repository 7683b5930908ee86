{#
    Whom a mart may show, by its group: agents and callers in the agent group, which a detailed contract alone opens; nobody
    in any other. Python says the same when it reads the project (PERSONS in scripts/callmart/declarations/dbt_project.py).
#}
{% macro store_persons(group) -%}
    {{ return({'agent': ['agent', 'caller', 'nobody']}.get(group, ['nobody'])) }}
{%- endmacro %}


{#
    Whether values of a type are counts or moments. A value of any other type can be a name, a telephone number or a key;
    bigint and numeric are such types.
#}
{% macro store_counts_or_times(data_type) -%}
    {{ return(data_type in [
        'smallint', 'integer', 'double precision', 'boolean', 'date', 'timestamp with time zone',
        'timestamp without time zone'
    ]) }}
{%- endmacro %}
