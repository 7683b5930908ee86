{# A sum as a mart keeps it: at most 500,000,000. A few talks of ten years must stop no build, and whoever adds four such
   sums must stay within an integer. #}
{% macro whole_sum(sum) -%}
    case when {{ sum }} > 500000000 then 500000000 else {{ sum }} end::integer
{%- endmacro %}
