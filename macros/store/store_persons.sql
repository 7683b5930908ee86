{#
    Whom a mart may show, by its group: agents and callers in the agent group, which a detailed contract alone opens; nobody
    in any other. Python says the same when it reads the project (PERSONS in scripts/callmart/declarations/dbt_project.py).
#}
{% macro store_persons(group) -%}
    {{ return({'agent': ['agent', 'caller', 'nobody']}.get(group, ['nobody'])) }}
{%- endmacro %}
