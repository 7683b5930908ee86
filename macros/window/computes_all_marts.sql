{# Whether every mart is selected, and computed from all rows. #}
{% macro computes_all_marts() -%}
    {%- set left_out = marts() | map(attribute='unique_id') | reject('in', selected_resources) | list -%}
    {{ return(not (left_out or flags.EMPTY or flags.SAMPLE)) }}
{%- endmacro %}
