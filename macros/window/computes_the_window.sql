{#
    Whether every model that depends on the window is selected, and computed from all rows: the tables of a build are
    emptied when it is opened, so a mart alone would be computed from nothing, and its checks would find nothing.
#}
{% macro computes_the_window() -%}
    {%- set left_out = models_of_window() | map(attribute='unique_id') | reject('in', selected_resources) | list -%}
    {{ return(not (left_out or flags.EMPTY or flags.SAMPLE)) }}
{%- endmacro %}
