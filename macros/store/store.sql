{#
    The store: a mart that keeps its history while dbt computes only the window.

    `build.<model>` gets the rows of the model's SQL, for the days of build.window. `store.<model>`, and the view
    `mart.<model>` that customers read, are made or extended as the model's YAML declares. Nothing moves from `build` to
    `store` here: `callmart open` does that, once the window has passed its checks.
#}
{% materialization store, adapter='postgres' %}
    {%- set declared = store_declaration(model) -%}
    {%- set mart = this.incorporate(type='table') -%}
    {%- set computed = store_computed_relation(this) -%}

    {%- do store_ensure(mart, declared) -%}
    {%- do declare_persons(mart, model) -%}
    {#- Before the commit, so that a wrong type leaves no table, which the corrected YAML would differ from. -#}
    {%- if not is_computed_by_callmart(model) %}
    {{ get_assert_columns_equivalent(sql) }}
    {%- endif %}
    {#- Committed at once: computing can take long, and readers and other marts would wait for these locks. -#}
    {%- do run_query(
        "set local lock_timeout = '10s'; select access.show_mart('" ~ mart ~ "', '" ~ declared.group ~ "'); commit"
    ) -%}
    {%- call statement('main') -%}
        {%- if not is_computed_by_callmart(model) %}
        {{ settings_to_compute() }}
        drop table if exists {{ computed }};
        create unlogged table {{ computed }} ({{ store_column_list(declared) }})
            with (autovacuum_enabled = false); -- as the tables of the window
        insert into {{ computed }} ({{ declared.columns | map(attribute='name') | join(', ') }})
        select {{ declared.columns | map(attribute='name') | join(', ') }} from ({{ sql }}) as model
        {%- if declared.day and not declared.reach_days %}
        -- A day that only another mart's reach brought into the window has not changed here.
        where not exists (
            select 1 from build."window" as w
            where w.reached and w.customer_id = model.customer_id and w.call_date = model.{{ declared.day }}
        )
        {%- endif %};
        {%- endif %}
        set local default_statistics_target = 10; -- of marts nobody asks more than how many days there are
        analyze {{ computed }};
    {%- endcall -%}
    {%- do declare_persons(computed, model) -%}
    {%- do adapter.commit() -%}
    {{ return({'relations': [mart]}) }}
{% endmaterialization %}
