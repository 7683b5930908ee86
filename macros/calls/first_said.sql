{#- The least pair of moment and value. An aggregate with an order would cost a tenth of int_call. -#}
{% macro first_said(column, condition) -%}
(
    min(array[(date_part('epoch', occurred_at) * 1000000)::bigint::text, {{ column }}])
    filter (where {{ condition }})
)[2]
{%- endmacro %}
