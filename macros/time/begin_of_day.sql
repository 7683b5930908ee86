{#
    The moment at which a day begins on a customer's clock. If clocks go back over midnight, it comes twice, and the day
    begins at the first one. PostgreSQL takes the second one, an hour into the day.
#}
{% macro begin_of_day(day, time_zone='time_zone') -%}
    {%- set midnight = '(' ~ day ~ ')::timestamp at time zone ' ~ time_zone -%}
    case
        when {{ local_date('(' ~ midnight ~ " - interval '1 hour')", time_zone) }} = {{ day }}
            then ({{ midnight }}) - interval '1 hour'
        else {{ midnight }}
    end
{%- endmacro %}
