{#
    Before dbt by itself computes all marts: fill the window with what is dirty, as `callmart build` does. If only some
    models are selected, the window stays as it is: opening it would show days that were not computed.
#}
{% macro begin_build() -%}
    {%- if execute and builds_all_marts() -%}
        {%- set at_work = run_query("
            select from pg_catalog.pg_locks
            where relation = to_regclass('ops.running_now') and mode = 'ExclusiveLock' and granted
        ") -%}
        {%- if at_work | length -%}
            {%- do exceptions.raise_compiler_error(
                'a callmart run is at work on this database; wait until it has finished'
            ) -%}
        {%- endif -%}
        {%- set reaches = {} -%}
        {%- for mart in marts() -%}
            {%- do reaches.update({mart.name: mart.config.meta.get('reach_days', 0)}) -%}
        {%- endfor -%}
        select ops.fill_window('{{ tojson(reaches) }}'); commit
    {%- endif -%}
{%- endmacro %}
