{#
    A frozen statistic over all customers. The rows of the model's SQL are added to `usage.<model>` once and never
    touched again, not even by dbt's --full-refresh. The table follows the model's YAML, like a mart's.
#}
{% materialization frozen, adapter='postgres' %}
    {%- set declared = store_declaration(model) -%}
    {%- set statistic = this.incorporate(type='table') -%}
    {%- set names = declared.columns | map(attribute='name') | join(', ') -%}

    {%- do store_ensure(statistic, declared) -%}
    {%- do declare_persons(statistic, model) -%}
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
