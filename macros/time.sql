{# The day on a customer's wall. #}
{% macro local_date(moment, time_zone='time_zone') -%}
    ({{ moment }} at time zone {{ time_zone }})::date
{%- endmacro %}


{#
    The moment at which a day begins on a customer's wall: the first midnight where clocks go back over it and it comes
    twice. PostgreSQL takes the second one, an hour into the day.
#}
{% macro begin_of_day(day, time_zone='time_zone') -%}
    {%- set midnight = '(' ~ day ~ ')::timestamp at time zone ' ~ time_zone -%}
    case
        when {{ local_date('(' ~ midnight ~ " - interval '1 hour')", time_zone) }} = {{ day }}
            then ({{ midnight }}) - interval '1 hour'
        else {{ midnight }}
    end
{%- endmacro %}


{# The quarter-hour that a moment lies in. All time zones of today differ by whole quarters, so UTC's will do. #}
{% macro quarter_hour(moment) -%}
    date_bin(interval '15 minutes', {{ moment }}, timestamptz '2000-01-01 00:00:00+00')
{%- endmacro %}


{# The seconds between two moments, unrounded. #}
{% macro seconds_between(from_moment, until_moment) -%}
    extract(epoch from {{ until_moment }} - {{ from_moment }})::double precision
{%- endmacro %}


{# A phase in whole seconds, half up: rounded once, before it is summed or cut. #}
{% macro whole_seconds(seconds) -%}
    floor({{ seconds }} + 0.5)::integer
{%- endmacro %}


{# An unrounded number of seconds as an interval. #}
{% macro seconds_interval(seconds) -%}
    make_interval(secs => {{ seconds }})
{%- endmacro %}


{# The seconds in all ranges of a multirange, unrounded. #}
{% macro seconds_in(times) -%}
    (
        select coalesce(sum({{ seconds_between('lower(stretch.during)', 'upper(stretch.during)') }}), 0)
        from unnest({{ times }}) as stretch (during)
    )
{%- endmacro %}
