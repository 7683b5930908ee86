{#
    Adds to each row of `relation` its `end_no` within `partition`, which is a phase: 0, and one more from each end on
    that ends a phase of its own, whose beginning the source does not show. That is an end after another one, if by the
    source's own measure what it ends began after that. Rows need a `moment`, an `occurred_at` and a `duration_s`.
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
