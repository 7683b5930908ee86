{#
    Adds to each row of `relation` the `part` of the call that it belongs to: the agent's last part that began before
    the row's moment, or else the first one after it. If the row names a queue in which the agent has a part, only the
    parts in that queue count. A row without an agent can belong to any agent's part, in any queue. A row of a call
    without a talk is left out. `number` is the column that distinguishes rows of one call, queue and agent.
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
        {{ relation }}.agent_key is not null
        and {{ relation }}.queue is not null
        and {{ talks }}.queue is distinct from {{ relation }}.queue,
        {{ talks }}.connected_moment > {{ relation }}.moment,
        abs({{ talks }}.connected_moment - {{ relation }}.moment),
        {{ talks }}.part
{%- endmacro %}
