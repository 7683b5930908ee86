{# Whether this is dbt by itself, and computes every mart. callmart fills the window itself, and says so to dbt. #}
{% macro builds_all_marts() -%}
    {%- set ours = env_var('DBT_BY_CALLMART', '') == '' and flags.WHICH in ('run', 'build') -%}
    {%- set left_out = marts() | map(attribute='unique_id') | reject('in', selected_resources) | list -%}
    {{ return(ours and not left_out) }}
{%- endmacro %}
