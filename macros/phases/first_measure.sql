{# The source's own measure of the first event with a condition; of several at one moment the shortest. #}
{% macro first_measure(condition, moment='moment') -%}
    (array_agg(duration_s order by {{ moment }}, duration_s) filter (where {{ condition }}))[1]
{%- endmacro %}
