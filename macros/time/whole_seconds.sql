{# The length of a phase in whole seconds, half up. A phase is rounded once, before it is summed or cut. #}
{% macro whole_seconds(seconds) -%}
    floor({{ seconds }} + 0.5)::integer
{%- endmacro %}
