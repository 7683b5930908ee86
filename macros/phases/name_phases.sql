{#
    The rows of `relation`, which are events `starts` and their ends, with the queue and the agent of a phase also at
    those of its events that do not name them. From one start to the next one, the first that is named counts. An event
    that names another queue or agent keeps its own.
#}
{% macro name_phases(relation, starts) -%}
    select
        customer_id,
        call_key,
        case when is_of_turn then first_queue else queue end as queue,
        case when is_of_turn then first_agent_key else agent_key end as agent_key,
        event,
        reason,
        occurred_at,
        duration_s,
        moment
    from (
        select
            *,
            turn > 0
            and coalesce(queue = first_queue, true)
            and coalesce(agent_key = first_agent_key, true) as is_of_turn
        from (
            select
                *,
                first_value(queue) over (
                    partition by customer_id, call_key, turn order by queue is null, moment, queue
                ) as first_queue,
                first_value(agent_key) over (
                    partition by customer_id, call_key, turn order by agent_key is null, moment, agent_key
                ) as first_agent_key
            from (
                -- Of one moment, the end that comes first in the alphabet comes first.
                select
                    *,
                    count(*) filter (where event = '{{ starts }}') over (
                        partition by customer_id, call_key order by moment, event
                    ) as turn
                from {{ relation }}
            ) as turned
        ) as named
    ) as told
{%- endmacro %}
