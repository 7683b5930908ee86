{# The bounds, in seconds, up to which waits are counted: percentiles of waiting can be had from the counts. #}
{% macro wait_bounds() -%}
    {{ return([5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1800]) }}
{%- endmacro %}
