{#
    Adds to each row of `relation` the `part` of the call that it belongs to: the agent's last part that began before
    the row's moment, or else the first one after it. If the row names a queue in which the agent has a part, only the
    parts in that queue count. A row without an agent can belong to any agent's part, in any queue. A row of a call
    without a talk is left out.
#}
{% macro place_in_talk(relation, talks) -%}
    {% set parts = 'coalesce(in_queue.parts, of_agent.parts, of_call.parts)' -%}
    {% set moments = 'coalesce(in_queue.moments, of_agent.moments, of_call.moments)' -%}
    select
        {{ relation }}.*,
        ({{ parts }})[greatest(width_bucket({{ relation }}.moment, {{ moments }}), 1)] as part
    from {{ relation }}
    left join ({{ parts_in_order(talks, 'customer_id, call_key, agent_key, queue') }}) as in_queue
        on {{ relation }}.customer_id = in_queue.customer_id
        and {{ relation }}.call_key = in_queue.call_key
        and {{ relation }}.agent_key = in_queue.agent_key
        and {{ relation }}.queue = in_queue.queue
    left join ({{ parts_in_order(talks, 'customer_id, call_key, agent_key') }}) as of_agent
        on {{ relation }}.customer_id = of_agent.customer_id
        and {{ relation }}.call_key = of_agent.call_key
        and {{ relation }}.agent_key = of_agent.agent_key
    left join ({{ parts_in_order(talks, 'customer_id, call_key') }}) as of_call
        on {{ relation }}.customer_id = of_call.customer_id
        and {{ relation }}.call_key = of_call.call_key
        and {{ relation }}.agent_key is null
    where {{ parts }} is not null
{%- endmacro %}
