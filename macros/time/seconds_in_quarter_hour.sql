{#
    The whole seconds of a phase that lie in the quarter-hour `interval_start`. The phase is rounded once, half up, and
    then cut: a part is the phase's rounded length up to the part's end, less that up to the part's beginning.
#}
{% macro seconds_in_quarter_hour(started_at, ended_at) -%}
    {{ whole_seconds(seconds_between(started_at, 'least(' ~ ended_at ~ ", interval_start + interval '15 minutes')")) }}
    - {{ whole_seconds(seconds_between(started_at, 'greatest(' ~ started_at ~ ', interval_start)')) }}
{%- endmacro %}
