{#
    Whether a queue's mart may show what agents did, as the rows of int_several_agents and int_left_out_agent say. Under
    a standard contract, the work of a queue's only agent would be that agent's profile. So would be the work of an
    agent who is left out: it is what the queue shows less what the agents' marts show. Staffing (`has_staffed`) would
    be that of its only member, however many answered.
#}
{% macro shows_work(option, of_left_out='has_handled') -%}
    {%- set several = {'has_handled': 'several_agents.queue is not null', 'has_staffed': 'several_agents.have_staffed'} -%}
    ({{ option }} = 'detailed' or {{ several[of_left_out] }}) and left_out.{{ of_left_out }} is not true
{%- endmacro %}
