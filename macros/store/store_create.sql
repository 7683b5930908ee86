{% macro store_create(mart, declared) -%}
    {%- call statement('store_create') -%}
        create table {{ mart }} (
            {{ store_column_list(declared) }},
            primary key ({{ declared.key | join(', ') }})
        ) {%- if declared.day %} partition by range ({{ declared.day }}) {%- endif %};
        select access.protect(
            '{{ mart }}', '{{ declared.group }}', {{ "'" ~ declared.day ~ "'" if declared.day else 'null' }}
        );
    {%- endcall -%}
{%- endmacro %}
