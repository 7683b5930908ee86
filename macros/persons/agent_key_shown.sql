{#
    The key by which the agent of a row is shown: one who objects gets another, by which the agent is left out of what
    shows agents (is_left_out). The rows of `relation` need a join with `objector_of`.
#}
{% macro agent_key_shown(relation) -%}
    case when objectors.tombstone is null then {{ relation }}.agent_key else '~' || {{ relation }}.agent_key end
{%- endmacro %}
