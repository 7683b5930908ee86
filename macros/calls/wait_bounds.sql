{#
    The bounds, in seconds, of the counts of waits. They come from the names of the columns in the mart's YAML:
    wait_answered_le_5, wait_answered_le_10 and so on.
#}
{% macro wait_bounds() -%}
    {%- set bounds = [] -%}
    {%- for name in model.columns if name.startswith('wait_answered_le_') -%}
        {%- do bounds.append(name | replace('wait_answered_le_', '') | int) -%}
    {%- endfor -%}
    {{ return(bounds) }}
{%- endmacro %}
