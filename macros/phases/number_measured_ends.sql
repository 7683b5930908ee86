{#
    Numbers the phases within `partition`: `end_no` is 0 at first, and grows by one at each end whose phase began, by the
    source's own measure, after all ends before. Rows need a `moment`, an `occurred_at` and a `duration_s`.
#}
{% macro number_measured_ends(relation, ends, partition) -%}
    select
        *,
        count(*) filter (
            where {{ ends }}
            and duration_s > 0
            and occurred_at - {{ seconds_interval('duration_s') }} > ended_before
        ) over (partition by {{ partition }} order by moment) as end_no
    from (
        select
            *,
            max(occurred_at) filter (where {{ ends }}) over (
                partition by {{ partition }} order by moment
                range between unbounded preceding and 1 preceding
            ) as ended_before
        from {{ relation }}
    ) as followed
{%- endmacro %}
