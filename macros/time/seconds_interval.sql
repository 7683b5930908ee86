{# An unrounded number of seconds as an interval. #}
{% macro seconds_interval(seconds) -%}
    make_interval(secs => {{ seconds }})
{%- endmacro %}
