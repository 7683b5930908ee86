{# The day on a customer's clock. #}
{% macro local_date(moment, time_zone='time_zone') -%}
    ({{ moment }} at time zone {{ time_zone }})::date
{%- endmacro %}
