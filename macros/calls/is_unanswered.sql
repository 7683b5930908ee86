{# Whether an attempt to reach an agent ended without an answer. `reason` is how it ended. #}
{% macro is_unanswered(reason='reason') -%}
    {{ reason }} in ('no_answer', 'busy', 'declined', 'caller_left')
{%- endmacro %}
