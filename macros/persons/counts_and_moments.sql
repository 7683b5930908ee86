{# The types of columns that need not say whom they point to. #}
{% macro counts_and_moments() -%}
    {{ return(run_query('select unnest(access.counts_and_moments())').columns[0].values() | list) }}
{%- endmacro %}
