{#
    The rows of `relation` with the `part` of the call in which they fall: the agent's last part that began before the
    row's moment, or else the first one after it. A row without an agent falls in anybody's. Rows and talks have a moment;
    `number` tells rows apart that share call, queue and agent. A row of a call without a talk is left out.
#}
{% macro place_in_talk(relation, talks, number) -%}
    select distinct on (
        {{ relation }}.customer_id,
        {{ relation }}.call_key,
        {{ relation }}.queue,
        {{ relation }}.agent_key,
        {{ relation }}.{{ number }}
    )
        {{ relation }}.*,
        {{ talks }}.part
    from {{ relation }}
    inner join {{ talks }}
        on {{ relation }}.customer_id = {{ talks }}.customer_id
        and {{ relation }}.call_key = {{ talks }}.call_key
        and ({{ relation }}.agent_key = {{ talks }}.agent_key or {{ relation }}.agent_key is null)
    order by
        {{ relation }}.customer_id,
        {{ relation }}.call_key,
        {{ relation }}.queue,
        {{ relation }}.agent_key,
        {{ relation }}.{{ number }},
        {{ talks }}.connected_moment > {{ relation }}.moment,
        abs({{ talks }}.connected_moment - {{ relation }}.moment),
        {{ talks }}.part
{%- endmacro %}
