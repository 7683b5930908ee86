{#
    How long a status, a login or a membership lasts at most after the last event that tells of it; as far as landing
    looks for its two ends when it marks days. In hours, as the length of days depends on the session's time zone.
#}
{% macro longest_phase() -%}
    interval '744 hours'
{%- endmacro %}


{# How long a wrap-up of no call can be. #}
{% macro longest_wrapup() -%}
    interval '24 hours'
{%- endmacro %}


{# The quarter-hours that a phase touches, as a table of `interval_start`; of a phase without length the one it is in. #}
{% macro quarter_hours(from_moment, until_moment) -%}
    generate_series(
        {{ quarter_hour(from_moment) }},
        greatest({{ from_moment }}, {{ until_moment }} - interval '1 microsecond'),
        interval '15 minutes'
    ) as quarter_hours (interval_start)
{%- endmacro %}


{#
    The whole seconds of a phase that lie in the quarter-hour `interval_start`. The phase is rounded once, half up, and
    then cut: each part is what the phase had reached at its end less what it had reached at its beginning.
#}
{% macro seconds_in_quarter_hour(started_at, ended_at) -%}
    {{ whole_seconds(seconds_between(started_at, 'least(' ~ ended_at ~ ", interval_start + interval '15 minutes')")) }}
    - {{ whole_seconds(seconds_between(started_at, 'greatest(' ~ started_at ~ ', interval_start)')) }}
{%- endmacro %}
