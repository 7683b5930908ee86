{#
    A join that adds the objector whose key a row has, if it has one. A key begins like its tombstone, so that few
    tombstones have to be made to find it.
#}
{% macro objector_of(relation) -%}
    left join objectors
        on {{ relation }}.customer_id = objectors.customer_id
        and left({{ relation }}.agent_key, 6) = objectors.beginning
        and privacy.is_objector({{ relation }}.customer_id, objectors.tombstone, {{ relation }}.agent_key)
{%- endmacro %}
