{#
    A table of the window, made anew each time. dbt's own table puts the new one beside the old and renames both, for
    readers that these have not; and the planner would know nothing of it.
#}
{% materialization window, adapter='postgres' %}
    {%- set standing = load_cached_relation(this) -%}
    {%- call statement('main') -%}
        {% if standing %}drop {{ standing.type }} {{ standing }} cascade;{% endif %}
        create unlogged table {{ this }} as {{ sql }};
        analyze {{ this }};
    {%- endcall -%}
    {#- dbt forgets the views over the dropped table as well, and makes them anew. -#}
    {%- if standing %}{% do adapter.cache_dropped(standing) %}{% endif -%}
    {%- do adapter.commit() -%}
    {{ return({'relations': [this.incorporate(type='table')]}) }}
{% endmaterialization %}
