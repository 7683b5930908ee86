{#
    Whether a queue's mart may show what agents did, as the rows of int_several_agents and int_left_out_agent say. Under
    a standard contract, the work of a queue's only agent would be that agent's profile. So would be the work of an
    agent who is left out: it is what the queue shows less what the agents' marts show.
#}
{% macro shows_work(option, of_left_out='has_handled') -%}
    ({{ option }} = 'detailed' or several_agents.queue is not null) and left_out.{{ of_left_out }} is not true
{%- endmacro %}
