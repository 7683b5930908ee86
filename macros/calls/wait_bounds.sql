{#
    The bounds, in seconds, up to which waits are counted: those of the columns wait_answered_le_5, wait_answered_le_10 and
    so on that the mart's YAML declares. Percentiles of the wait can be read from the counts.
#}
{% macro wait_bounds() -%}
    {%- set bounds = [] -%}
    {%- for name in model.columns if name.startswith('wait_answered_le_') -%}
        {%- do bounds.append(name | replace('wait_answered_le_', '') | int) -%}
    {%- endfor -%}
    {{ return(bounds) }}
{%- endmacro %}
