{#
    The rows of `relation`, which are phases, with each day (of the CTE `days`) that they lie on: the query of a CTE.
    `from_moment` and `until_moment` are where the phase is cut by the day.

    A phase that begins or ends at midnight lies on one day only, and one without length on the day it lies in. First
    come the days that had begun on the day of UTC on which the phase began, then those that began later.

    On a day that goes on, a phase is cut where its data ends, also if something later is known: a source's clock can be
    ahead. `least` takes no notice of the null of a day that is over.
#}
{% macro days_of_phases(relation, began_at, ended_at) -%}
    {%- set began_at, ended_at = relation ~ '.' ~ began_at, relation ~ '.' ~ ended_at -%}
    {%- set known_until = 'least(' ~ ended_at ~ ', days.so_far)' -%}
    {%- set columns -%}
        {{ relation }}.*,
        days.call_date,
        days.time_zone,
        days.begins_at,
        days.ends_at,
        greatest({{ began_at }}, days.begins_at) as from_moment,
        greatest(least({{ known_until }}, days.ends_at), {{ began_at }}, days.begins_at) as until_moment
    {%- endset -%}
    select
        {{ columns }}
    from {{ relation }}
    inner join {{ days_by_utc_day() }} as days
        on {{ relation }}.customer_id = days.customer_id
        and {{ utc_day(began_at) }} = days.utc_day
        and {{ began_at }} < days.ends_at
        and ({{ known_until }} > days.begins_at or {{ began_at }} >= days.begins_at)
    union all
    select
        {{ columns }}
    from {{ relation }}
    inner join days
        on {{ relation }}.customer_id = days.customer_id
        and {{ utc_day('days.begins_at') }} > {{ utc_day(began_at) }}
        and {{ known_until }} > days.begins_at
    where {{ utc_day(ended_at) }} > {{ utc_day(began_at) }}
{%- endmacro %}
