{# The nodes of all marts. #}
{% macro marts() -%}
    {{ return(graph.nodes.values() | selectattr('resource_type', 'equalto', 'model')
        | selectattr('config.materialized', 'equalto', 'store') | list) }}
{%- endmacro %}
