{# How long a wrap-up of no call can be. #}
{% macro longest_wrapup() -%}
    interval '24 hours'
{%- endmacro %}
