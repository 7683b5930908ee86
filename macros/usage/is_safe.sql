{#
    Whether a sum over customers tells nothing of one of them: an aggregate over rows of one customer each. At least ten
    take part, the largest is less than half of it, and the two largest are less than 85 %, so that neither can reckon
    the other. `amount` is nobody's less than 0.
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
