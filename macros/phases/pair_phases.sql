{#
    One row per phase of an agent in a call, such as a hold: its number, its first moment, when it started and ended
    (null if the source does not show it), and the source's own measure. `relation` has the events `starts` and `ends`
    of int_tangled_event. A source can name queue and agent with one of the two events only. So phases are not told apart
    by their queue, and of a start and the end after it one can name the agent for both.
#}
{% macro pair_phases(relation, starts, ends) -%}
    {%- set of_agents -%}
        (
            select
                customer_id,
                call_key,
                event,
                reason,
                occurred_at,
                moment,
                duration_s,
                coalesce(
                    agent_key,
                    case
                        when event = '{{ starts }}' and lead(event) over of_call = '{{ ends }}'
                            then lead(agent_key) over of_call
                        when event = '{{ ends }}' and lag(event) over of_call = '{{ starts }}'
                            then lag(agent_key) over of_call
                    end
                ) as agent_key
            from {{ relation }}
            window of_call as (partition by customer_id, call_key order by moment, event desc)
        ) as of_agents
    {%- endset -%}
    select
        customer_id,
        call_key,
        agent_key,
        phase_no,
        min(moment) as moment,
        min(occurred_at) filter (where event = '{{ starts }}') as started_at,
        min(occurred_at) filter (where event = '{{ ends }}') as ended_at,
        -- The first end counts, with its own measure.
        (array_agg(duration_s order by moment, duration_s) filter (where event = '{{ ends }}'))[1] as duration_s
    from (
        {{ number_phases(
            of_agents,
            name='phase_no',
            starts="event = '" ~ starts ~ "'",
            ends="event = '" ~ ends ~ "'",
            partition='customer_id, call_key, agent_key',
        ) }}
    ) as numbered
    group by customer_id, call_key, agent_key, phase_no
{%- endmacro %}
