{#
    Views of `build` read with the rights of whoever asks. With their owner's, as by default, the login `quality`, which
    may read what is built, would read all events and the registry through the views of staging.
#}
{% macro postgres__create_view_as(relation, sql) -%}
    create view {{ relation.render() }} with (security_invoker = true) as (
        {{ sql }}
    );
{%- endmacro %}
