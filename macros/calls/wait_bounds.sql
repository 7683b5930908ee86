{#
    The bounds, in seconds, of the counts of waits. They come from the names of the columns in the YAML of
    queue_interval: wait_answered_le_5, wait_answered_le_10 and so on.
#}
{% macro wait_bounds() -%}
    {%- set bounds = [] -%}
    {%- if execute -%}
        {%- set mart = graph.nodes['model.' ~ project_name ~ '.queue_interval'] -%}
        {%- for name in mart.columns if name.startswith('wait_answered_le_') -%}
            {%- do bounds.append(name | replace('wait_answered_le_', '') | int) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(bounds) }}
{%- endmacro %}
