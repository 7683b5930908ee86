{# The groups of marts that customers read. #}
{% macro mart_groups() -%}
    {{ return(run_query('select unnest(access.groups())').columns[0].values() | list) }}
{%- endmacro %}
