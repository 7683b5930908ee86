{#
    The functions whose use is counted over all customers: of each mart their names, and what is summed of a row. A function
    is nobody's own word.
#}
{% macro usage_functions() -%}
    {{ return({
    'queue_interval': {
        'queue_answer': 'answered',
        'queue_overflow': 'overflowed',
        'queue_callback': 'callbacks',
        'queue_time_limit': 'timed_out',
        'queue_exit_by_key': 'left_by_key',
        'queue_exit_without_agents': 'left_empty',
        'queue_refusal_full': 'refused_full',
        'queue_refusal_without_agents': 'refused_empty',
        'queue_refusal_closed': 'refused_closed',
        'queue_refusal_busy': 'refused_busy',
        'ring': 'rings',
        'hold': 'holds',
        'hold_contact': 'contacts_held',
        'transfer_blind': 'transferred_blind',
        'transfer_attended': 'transferred_attended',
    },
    'queue_day': {
        'withheld_caller': 'contacts_withheld',
    },
    'agent_interval': {
        'outbound_call': 'outbound_calls',
    },
    'agent_status_interval': {
        'status_wrap_up': "times_entered * (status = 'wrap_up')::integer",
        'status_break': "times_entered * (status = 'break')::integer",
        'status_away': "times_entered * (status = 'away')::integer",
        'status_training': "times_entered * (status = 'training')::integer",
        'status_other': "times_entered * (status = 'other')::integer",
    },
    'agent_session': {
        'device_login': 'logins',
    },
    'line_interval': {
        'line_call_in_sip_trunk': "calls_in * (platform = 'sip_trunk')::integer",
        'line_call_in_isdn2': "calls_in * (platform = 'isdn2')::integer",
        'line_call_in_isdn30': "calls_in * (platform = 'isdn30')::integer",
        'line_call_out_sip_trunk': "calls_out * (platform = 'sip_trunk')::integer",
        'line_call_out_isdn2': "calls_out * (platform = 'isdn2')::integer",
        'line_call_out_isdn30': "calls_out * (platform = 'isdn30')::integer",
    },
}) }}
{%- endmacro %}
