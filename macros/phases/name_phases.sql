{#
    The rows of `relation`, which are events `starts` and their ends, with the queue and the agent of a phase also at
    the one of its ends that does not name them. From one start to the next one, all that do name them have to name the
    same.
#}
{% macro name_phases(relation, starts) -%}
    select
        customer_id,
        call_key,
        case when is_told then min(queue) over in_turn else queue end as queue,
        case when is_told then min(agent_key) over in_turn else agent_key end as agent_key,
        event,
        reason,
        occurred_at,
        duration_s,
        moment
    from (
        select
            *,
            turn > 0
            and coalesce(min(queue) over in_turn = max(queue) over in_turn, true)
            and coalesce(min(agent_key) over in_turn = max(agent_key) over in_turn, true) as is_told
        from (
            -- Of one moment, the end that comes first in the alphabet comes first.
            select
                *,
                count(*) filter (where event = '{{ starts }}') over (
                    partition by customer_id, call_key order by moment, event
                ) as turn
            from {{ relation }}
        ) as turned
        window in_turn as (partition by customer_id, call_key, turn)
    ) as told
    window in_turn as (partition by customer_id, call_key, turn)
{%- endmacro %}
