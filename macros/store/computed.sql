{# The window of a mart as this build computes it, before it is opened. `ref` is the mart itself, with its history. #}
{% macro computed(mart) -%}
    {{ store_computed_relation(ref(mart)) }}
{%- endmacro %}
