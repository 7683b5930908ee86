{#
    A query in two halves, by the sign of a key. PostgreSQL computes them side by side, where a core has nothing else to
    do.
#}
{% macro in_halves(key) -%}
    {{ caller(key ~ ' < 0') }}
    union all
    {{ caller(key ~ ' >= 0') }}
{%- endmacro %}
