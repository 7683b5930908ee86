{#
    A table of the window, made anew by each build. dbt's own `table` builds a second table and swaps both, for the sake
    of readers; these tables have none. And it does not analyze the table, so the planner would know nothing about it.
    A tenth of the usual sample is enough for that, and saves a build about two seconds. Autovacuum would take the whole
    sample while the next models are computed, of a table that the next build drops.
#}
{% materialization window, adapter='postgres' %}
    {%- set existing = load_cached_relation(this) -%}
    {%- call statement('main') -%}
        {%- if not is_computed_by_callmart(model) %}
        {{ settings_to_compute() }}
        {% if existing %}drop {{ existing.type }} {{ existing }} cascade;{% endif %}
        create unlogged table {{ this }} with (autovacuum_enabled = false) as {{ sql }};
        {%- endif %}
        set local default_statistics_target = 10;
        analyze {{ this }};
    {%- endcall -%}
    {%- do declare_persons(this, model) -%}
    {#- dbt also has to forget the views over the dropped table, so that it makes them again. -#}
    {%- if existing %}{% do adapter.cache_dropped(existing) %}{% endif -%}
    {%- do adapter.commit() -%}
    {{ return({'relations': [this.incorporate(type='table')]}) }}
{% endmaterialization %}
