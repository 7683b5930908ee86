{# Which persons the columns of a mart may point to, by its group. #}
{% macro persons_shown(group) -%}
    {{ return(run_query("select unnest(access.persons_shown('" ~ group ~ "'))").columns[0].values() | list) }}
{%- endmacro %}
