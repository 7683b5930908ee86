{#
    Whether a sum over customers reveals nothing about one of them. An aggregate over rows of one customer each;
    `amount` is never negative. At least ten customers take part, the largest has less than half of the sum, and the two
    largest have less than 85 %, so that neither can work out the other's part.
#}
{% macro is_safe(amount) -%}
    (
        count(*) filter (where {{ amount }} > 0) >= 10
        and max({{ amount }}) * 100 < sum({{ amount }}) * 50
        and (
            select sum(largest) from unnest((array_agg({{ amount }} order by {{ amount }} desc))[:2]) as largest
        ) * 100 < sum({{ amount }}) * 85
    )
{%- endmacro %}
