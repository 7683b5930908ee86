{#
    A statistic over all customers that is frozen: what the model's SQL says is added to `usage.<model>` once, and never
    touched again, whatever dbt is asked to refresh. The table stands as its YAML declares, as a mart's does.
#}
{% materialization frozen, adapter='postgres' %}
    {%- set declared = store_declaration(model) -%}
    {%- set statistic = this.incorporate(type='table') -%}
    {%- set names = declared.columns | map(attribute='name') | join(', ') -%}

    {%- do store_ensure(statistic, declared) -%}
    {{ get_assert_columns_equivalent(sql) }}
    {%- call statement('main') -%}
        with added as (
            insert into {{ statistic }} ({{ names }})
            select {{ names }} from ({{ sql }}) as model
            returning 1
        )
        insert into ops.audit_log (action, details)
        select 'statistics frozen', jsonb_build_object('statistic', '{{ model.name }}', 'rows', count(*))
        from added
        having count(*) > 0
    {%- endcall -%}
    {%- do adapter.commit() -%}
    {{ return({'relations': [statistic]}) }}
{% endmaterialization %}
