{# Whether a customer's contract (of the CTE `contracts`) keeps a day. #}
{% macro contract_keeps(day) -%}
    (
        {{ day }} >= contracts.valid_from
        and ({{ day }} < contracts.valid_until or contracts.valid_until is null)
    )
{%- endmacro %}
