{#
    After dbt by itself: let others work again. If it has computed all of the window, note the build, so that `callmart
    validate` and `callmart open` take it up, and say that they are left to do.
#}
{% macro end_build(results) -%}
    {%- if execute and is_by_itself() -%}
        {%- set computed = results | selectattr('status', 'equalto', 'success') | map(attribute='node.unique_id') | list -%}
        {%- set failed = models_of_window() | map(attribute='unique_id') | reject('in', computed) | list -%}
        {%- set names = marts() | map(attribute='name') | list -%}
        {%- if computes_the_window() and not failed -%}
            {%- set days = run_query('select count(*) from build."window" where not reached').columns[0].values()[0] -%}
            {%- if days -%}
                {%- do log(days ~ (' day' if days == 1 else ' days') ~ ' computed; left to do: `callmart validate`, then `callmart open`', info=true) -%}
                insert into ops.build (days, tables, definitions)
                select
                    {{ days }},
                    jsonb_object_agg(mart, to_regclass(format('build.%I', mart))::oid::bigint),
                    ops.note_definitions('{{ dbt.escape_single_quotes(tojson(compiled_models(results))) }}')
                from unnest(array['{{ names | join("', '") }}']) as mart;
            {%- else -%}
                {%- do log('no day was dirty; nothing is left to do', info=true) -%}
            {%- endif -%}
        {%- endif %}
        delete from ops.dbt_at_work where invocation = '{{ invocation_id }}';
        commit
    {%- endif -%}
{%- endmacro %}
