{# Whether this is dbt by itself, and makes tables. callmart says to its own dbt that it has filled the window. #}
{% macro is_by_itself() -%}
    {{ return(env_var('DBT_BY_CALLMART', '') == '' and flags.WHICH in ('run', 'build')) }}
{%- endmacro %}
