-- Whom the columns of all tables and views point to that dbt does not make (pointing.sql says how). An event leads to
-- its agent and its caller, a call to its caller. The audit log and a released day name who did it.
select access.declare_persons(declared.relation::regclass, declared.persons)
from (
    select
        relation,
        jsonb_object_agg(column_name, persons) as persons
    from (
        values
        ('registry.agent', 'agent', 'agent_key, agent, name, email'),
        ('registry.contact', 'contact', 'email, name'),
        ('registry.contract', 'nobody', 'option'),
        ('registry.current_option', 'nobody', 'option'),
        ('registry.customer', 'nobody', 'name, time_zone, locale, connection, key_fingerprint'),
        ('registry.kept_contract', 'nobody', 'option'),
        ('registry.line', 'nobody', 'line, label, line_key'),
        ('registry.queue', 'nobody', 'queue, label, queue_key'),
        ('registry.recipient', 'recipient', 'email'),
        ('registry.recipient', 'nobody', 'reports'),
        ('registry.status_word', 'nobody', 'word, status'),
        ('raw.call', 'caller', 'call_key'),
        ('raw.event', 'agent', 'agent_key, device_key'),
        ('raw.event', 'agent, caller', 'event_key, target_key'),
        ('raw.event', 'caller', 'call_key, number_key'),
        ('raw.event', 'nobody', 'platform, event, file_id, line_number, queue, line, direction, reason, target'),
        ('raw.event', 'nobody', 'target_kind'),
        ('raw.file', 'nobody', 'file_id, name_key, content_key, asked, row_count, landed, repeated, rejected, turned_away'),
        ('raw.file_customer', 'nobody', 'file_id, events'),
        ('raw.function_use', 'nobody', 'function, uses'),
        ('raw.incoming', 'agent', 'agent_key, device_key'),
        ('raw.incoming', 'agent, caller', 'event_key, target_key'),
        ('raw.incoming', 'caller', 'call_key, number_key'),
        ('raw.incoming', 'nobody', 'platform, event, line_number, queue, line, direction, reason, target'),
        ('raw.incoming', 'nobody', 'target_kind'),
        ('raw.incoming_agent', 'agent', 'agent_key, agent'),
        ('raw.incoming_reject', 'nobody', 'line_number, reason'),
        ('raw.known_event', 'nobody', 'event, reasons, kinds, directions'),
        ('raw.reject', 'nobody', 'file_id, line_number, reason'),
        ('build."window"', 'nobody', 'mark'),
        ('ops.alarm', 'nobody', 'channel, trouble'),
        ('ops.audit_log', 'staff', 'actor, details'),
        ('ops.audit_log', 'nobody', 'entry, action'),
        ('ops.build', 'nobody', 'build_id, tables'),
        ('ops.dirty_day', 'nobody', 'mark, cause'),
        ('ops.extract', 'nobody', 'mart_group, content_hash, row_count, basis'),
        ('ops.followed_contract', 'nobody', 'option'),
        ('ops.held_back', 'staff', 'released_by'),
        ('ops.held_back', 'nobody', 'build_id, cause, release_reason'),
        ('ops.installation', 'nobody', 'key_fingerprint'),
        ('ops.migration', 'nobody', 'name, checksum, place'),
        ('ops.opened_day', 'nobody', 'mart, row_count, build_id'),
        ('ops.publication', 'nobody', 'state, project_id'),
        ('ops.quality_failure', 'nobody', 'build_id, mart, expectation'),
        ('ops.quality_result', 'nobody', 'build_id, mart, expectation, severity'),
        ('ops.run', 'nobody', 'run_id, outcome, error'),
        ('ops.run_stage', 'nobody', 'run_id, stage, outcome, counts, error'),
        ('ops.to_vacuum', 'nobody', 'relation'),
        ('access.applied', 'nobody', 'fingerprint'),
        ('access.closing', 'nobody', 'role'),
        ('access.current_definition', 'nobody', 'object, definition'),
        ('access.definition', 'nobody', 'object, definition, query'),
        ('access.granted', 'nobody', 'role, member'),
        ('access.mart', 'nobody', 'relation, mart_group'),
        ('access.mart_relation', 'nobody', 'mart, relation'),
        ('access.pointing_column', 'nobody', 'relation, schema_name, relation_name, column_name, data_type, persons')
    ) as said (relation, persons, column_names)
    cross join unnest(string_to_array(column_names, ', ')) as column_name
    group by relation
) as declared;
