{#
    The how-manieth phase of its kind an event belongs to, among the events of `partition`: as many as have started
    up to its moment; 0 is before the first.

    An end in the very moment in which the next phase starts ends the phase before, if that one is still open; so
    rows of one second may come in any order. `starts` and `ends` are conditions on a row that has a `moment`.
#}
{% macro phase_number(starts, ends, partition) -%}
    {%- set upto -%}
        over (partition by {{ partition }} order by moment range between unbounded preceding and current row)
    {%- endset -%}
    {%- set before -%}
        over (partition by {{ partition }} order by moment range between unbounded preceding and 1 preceding)
    {%- endset -%}
    count(*) filter (where {{ starts }}) {{ upto }}
    - case
        when
            {{ ends }}
            and count(*) filter (where {{ starts }}) {{ upto }} > count(*) filter (where {{ starts }}) {{ before }}
            and max(moment) filter (where {{ starts }}) {{ before }}
            > coalesce(max(moment) filter (where {{ ends }}) {{ before }}, 0)
            then 1
        else 0
    end
{%- endmacro %}
