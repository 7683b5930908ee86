{# A phase in whole seconds, half up: rounded once, before it is summed or cut. #}
{% macro whole_seconds(seconds) -%}
    floor({{ seconds }} + 0.5)::integer
{%- endmacro %}
