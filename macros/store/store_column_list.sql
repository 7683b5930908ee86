{# The columns with their types, as DDL. #}
{% macro store_column_list(declared) -%}
    {%- for column in declared.columns -%}
        {{ adapter.quote(column.name) }} {{ column.data_type }}{{ ', ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}
