{# The nodes of all models but those of the statistics, which are computed by month. #}
{% macro models_of_window() -%}
    {%- set models = graph.nodes.values() | selectattr('resource_type', 'equalto', 'model') -%}
    {%- set found = [] -%}
    {%- for model in models if 'statistics' not in model.tags -%}
        {%- do found.append(model) -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}
