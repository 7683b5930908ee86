{#
    What orders events by their moments: equal ones are of one moment, and have no order. A source that numbers its lines
    tells the order of what has one time: line by line, and file by file.
#}
{% macro moment_order(relation) -%}
    {{ relation }}.occurred_at,
    case when {{ relation }}.line_number is not null then {{ relation }}.file_id end,
    {{ relation }}.line_number
{%- endmacro %}
