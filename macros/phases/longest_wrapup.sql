{# How long a wrap-up without a call can last at most. #}
{% macro longest_wrapup() -%}
    interval '24 hours'
{%- endmacro %}
