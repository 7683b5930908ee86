-- Events of one agent that are another's, within some time. Landing asks it, so that no file brings the mistake back.
-- The ledger has it, too.
alter table privacy.ledger_entry
add column since timestamptz,
drop constraint ledger_entry_asked_right_check,
add check (asked_right in ('erasure', 'objection', 'lifting', 'rectification'));

alter table privacy.tombstone
drop constraint tombstone_kind_check,
add check (
    kind in (
        'agent', 'device', 'caller', 'call', 'contact', 'recipient', 'name', 'objector', 'mistaken', 'corrected'
    )
);

create table privacy.correction (
    entry bigint not null references privacy.ledger_entry,
    customer_id integer not null,
    mistaken text not null, -- the tombstone of the agent whose events they seem to be
    agent_key text not null, -- whose they are; of an agent who was erased since, the tombstone
    since timestamptz not null,
    until timestamptz not null,
    primary key (entry, mistaken)
);
