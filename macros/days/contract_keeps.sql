{# Whether a customer's contract keeps a day. #}
{% macro contract_keeps(day, contracts='contracts') -%}
    (
        {{ day }} >= {{ contracts }}.valid_from
        and ({{ day }} < {{ contracts }}.valid_until or {{ contracts }}.valid_until is null)
    )
{%- endmacro %}
