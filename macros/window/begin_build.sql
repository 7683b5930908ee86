{#
    Before dbt by itself runs or builds: refuse if callmart or another dbt is at work. If it computes all of the window,
    fill it with what is dirty, as `callmart build` does. If only some models are selected, the window stays as it is:
    opening it would show days that were not computed.
#}
{% macro begin_build() -%}
    {%- if execute and is_by_itself() -%}
        select ops.begin_dbt('{{ invocation_id }}');
        commit; -- others see who is at work, however long the window takes
        begin;
        {%- if computes_the_window() -%}
            {%- set reaches = {} -%}
            {%- for mart in marts() -%}
                {%- do reaches.update({mart.name: mart.config.meta.get('reach_days', 0)}) -%}
            {%- endfor %}
            select ops.fill_window('{{ tojson(reaches) }}');
        {%- endif %}
        commit
    {%- endif -%}
{%- endmacro %}
