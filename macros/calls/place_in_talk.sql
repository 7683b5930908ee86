{#
    Adds to each row of `relation` the `part` of the call that it belongs to: the agent's last part that began before
    the row's moment, or else the first one after it. A row without an agent can belong to any agent's part. A row of a
    call without a talk is left out. `number` is the column that distinguishes rows of one call and agent.
#}
{% macro place_in_talk(relation, talks, number) -%}
    select distinct on (
        {{ relation }}.customer_id,
        {{ relation }}.call_key,
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
        {{ relation }}.agent_key,
        {{ relation }}.{{ number }},
        {{ talks }}.connected_moment > {{ relation }}.moment,
        abs({{ talks }}.connected_moment - {{ relation }}.moment),
        {{ talks }}.part
{%- endmacro %}
