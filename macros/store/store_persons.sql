{#
    Which persons the columns of a mart may point to, by its group. Only the group agent, which only a detailed contract
    opens, shows agents and callers. PERSONS in scripts/callmart/declarations/dbt_project.py says the same to Python.
#}
{% macro store_persons(group) -%}
    {{ return({'agent': ['agent', 'caller', 'nobody']}.get(group, ['nobody'])) }}
{%- endmacro %}
