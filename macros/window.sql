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
    {%- do adapter.commit() -%}
    {{ return({'relations': [this.incorporate(type='table')]}) }}
{% endmaterialization %}
