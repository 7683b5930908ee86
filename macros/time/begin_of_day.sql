{# The moment at which a day begins on a customer's clock: the first midnight, if clocks go back over it. #}
{% macro begin_of_day(day, time_zone='time_zone') -%}
    access.begin_of_day({{ day }}, {{ time_zone }})
{%- endmacro %}
