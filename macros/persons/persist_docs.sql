{#
    dbt calls this for every view and incremental table that it has made, in the same transaction. Our own
    materializations call declare_persons themselves.
#}
{% macro postgres__persist_docs(relation, model, for_relation, for_columns) -%}
    {%- do declare_persons(relation, model) -%}
{%- endmacro %}
